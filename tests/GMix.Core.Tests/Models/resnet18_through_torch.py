"""Takes ResNet-18 weights that GMix wrote into PyTorch, and writes weights of PyTorch's own for GMix.

usage: resnet18_through_torch.py FOLDER STEM [plain]     (STEM: cifar or imagenet)

Reads FOLDER/ours.safetensors and FOLDER/input.safetensors (tensor x). Writes FOLDER/ours-logits.safetensors (logits of our weights,
evaluating), FOLDER/theirs.safetensors (weights that PyTorch drew, running statistics moved) and FOLDER/theirs-logits.safetensors.
The model is torchvision's where there is torchvision and the last word is not `plain`, else the one below. The safetensors format is read
and written here: no package but torch is needed.
"""
import ctypes
import json
import struct
import sys

import torch
from torch import nn

TYPES = {"F32": torch.float32, "I64": torch.int64}


def read(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        part = bytearray(data[8 + length + begin : 8 + length + end])
        tensors[name] = torch.frombuffer(part, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        kind = next(k for k, t in TYPES.items() if t == tensor.dtype)
        tensor = tensor.detach().contiguous()
        blob = ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + shortcut)


class ResNet18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for k, outputs in enumerate((64, 128, 256, 512), start=1):
            setattr(self, f"layer{k}", nn.Sequential(Block(inputs, outputs, 1 if k == 1 else 2), Block(outputs, outputs, 1)))
            inputs = outputs
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet18(classes, stem, plain):
    model, origin = ResNet18(classes), "plain torch"
    if not plain:
        try:
            from torchvision.models import resnet18 as make

            model, origin = make(num_classes=classes), "torchvision"
        except ImportError:
            pass
    if stem == "cifar":
        model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    return model, origin


def main(folder, stem, plain):
    ours = read(f"{folder}/ours.safetensors")
    x = read(f"{folder}/input.safetensors")["x"]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model, origin = resnet18(ours["fc.weight"].shape[0], stem, plain)
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(4, *x.shape[1:]))
        write(f"{folder}/theirs.safetensors", model.state_dict())
        write(f"{folder}/theirs-logits.safetensors", {"logits": model.eval()(x)})
        model.load_state_dict(ours, strict=True)
        write(f"{folder}/ours-logits.safetensors", {"logits": model.eval()(x)})
    print(origin)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], plain="plain" in sys.argv[3:])
