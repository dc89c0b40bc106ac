"""The peer: the same training steps as a PyTorch user writes them, eager, one process, images/s of each method as one line of JSON.

Without flags it is what public Mixup and SAM code does: NCHW, float32. `--tuned` adds what an expert adds by hand: channels-last memory and
bfloat16 autocast. Batches are random numbers; the median step counts. `gmix bench all` runs it in turn with GMix.
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


class PreActBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (x if self.shortcut is None else self.shortcut(a))


class PostActBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        self.side = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.main(x) + self.side(x))


def head(width):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]


def wide_resnet(depth, width):
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for group, outputs in enumerate((16 * width, 32 * width, 64 * width)):
        for block in range((depth - 4) // 6):
            layers.append(PreActBlock(channels, outputs, 2 if group > 0 and block == 0 else 1))
            channels = outputs
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *head(channels))


def resnet18():
    layers, channels = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [PostActBlock(channels, outputs, stride), PostActBlock(outputs, outputs, 1)]
        channels = outputs
    return nn.Sequential(*layers, *head(512))


def mobilenet():
    def unit(inputs, outputs, kernel, stride, groups=1):
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    layers, channels = unit(3, 32, 3, 1), 32
    for outputs, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]:
        layers += unit(channels, channels, 3, stride, channels) + unit(channels, outputs, 1, 1)
        channels = outputs
    return nn.Sequential(*layers, *head(1024))


def mlp(size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def model_of(name, size):
    if name.startswith("wrn-"):
        _, depth, width = name.split("-")
        return wide_resnet(int(depth), int(width))
    return {"resnet18": resnet18, "mobilenet": mobilenet, "mlp": lambda: mlp(size)}[name]()


class Trainer:
    def __init__(self, model, tuned, rho=0.05, gamma=0.5):
        self.model, self.tuned, self.rho, self.gamma = model, tuned, rho, gamma
        self.weights = list(model.parameters())
        self.optimizer = torch.optim.SGD(self.weights, lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        self.beta = torch.distributions.Beta(1.0, 1.0)

    def losses(self, x, a, b, lam):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.tuned):
            logits = self.model(x)
        logits = logits.float()
        own = F.cross_entropy(logits, a, reduction="none")
        return own if b is None else lam * own + (1 - lam) * F.cross_entropy(logits, b, reduction="none")

    def gradient(self, *batch):
        self.optimizer.zero_grad()
        self.losses(*batch).mean().backward()

    def step(self, method, x, y):
        a, b, lam = y, None, 1.0
        if method not in ("vanilla", "sam"):
            lam, order = self.beta.sample().item(), torch.randperm(len(x))
            x, b = lam * x + (1 - lam) * x[order], y[order]
        self.optimizer.zero_grad()
        before = self.losses(x, a, b, lam)
        before.mean().backward()
        if method not in ("vanilla", "mixup"):
            self.second_pass(method, x, a, b, lam, before.detach())
        self.optimizer.step()

    def second_pass(self, method, x, a, b, lam, before):
        norm = torch.stack([w.grad.norm() for w in self.weights]).norm()
        home = [w.detach().clone() for w in self.weights]
        with torch.no_grad():
            for w in self.weights:
                w.add_(w.grad, alpha=float(self.rho / (norm + 1e-12)))
        for n in self.norms:
            n.momentum = 0.0
        if method in ("sam", "gmix"):
            self.gradient(x, a, b, lam)
        else:
            with torch.no_grad():
                rise = self.losses(x, a, b, lam) - before
            order = rise.argsort(descending=True)
            kept = max(1, int(self.gamma * len(x)))
            plus, minus = order[:kept], order[kept:]
            self.gradient(x[plus], a[plus], b[plus], lam)
            if method == "dgmix":
                g = [w.grad.clone() for w in self.weights]
                self.gradient(x[minus], a[minus], b[minus], lam)
                along = sum((w.grad * p).sum() for w, p in zip(self.weights, g)) / sum((p * p).sum() for p in g)
                for w, p in zip(self.weights, g):
                    w.grad.add_(p * (1 - along))
        for n in self.norms:
            n.momentum = 0.1
        with torch.no_grad():
            for w, h in zip(self.weights, home):
                w.copy_(h)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", default="wrn-16-4")
    arguments.add_argument("--methods", default="vanilla,mixup,sam,gmix,bgmix,dgmix")
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--steps", type=int, default=5)
    arguments.add_argument("--size", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--tuned", action="store_true")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = model_of(given.model, given.size)
    if given.tuned:
        model = model.to(memory_format=torch.channels_last)
    trainer = Trainer(model, given.tuned)
    # made beforehand, as a data loader makes them on the side
    batches = []
    for _ in range(4):
        x = torch.randn(given.batch, 3, given.size, given.size)
        batches.append((x.contiguous(memory_format=torch.channels_last) if given.tuned else x, torch.randint(0, CLASSES, (given.batch,))))
    speeds = {}
    for method in given.methods.split(","):
        seconds, begun, warm = [], time.perf_counter(), 0
        while len(seconds) < given.steps + warm:
            x, y = batches[len(seconds) % 4]
            start = time.perf_counter()
            trainer.step(method, x, y)
            seconds.append(time.perf_counter() - start)
            if len(seconds) <= 2 or (time.perf_counter() - begun < 0.5 and len(seconds) < 1000):
                warm = len(seconds)
        speeds[method] = round(given.batch / statistics.median(seconds[warm:]), 1)
    print(json.dumps({"torch": torch.__version__, "model": given.model, "tuned": given.tuned, "img_per_s": speeds,
                      "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))


main()
