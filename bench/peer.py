"""The peer: the same training steps as a PyTorch user writes them, one process, images/s of each method as one line of JSON.

Without flags it is what public Mixup and SAM code does: eager, NCHW, float32. `--tuned` adds what an expert adds by hand: channels-last memory
and bfloat16 autocast (not with `--precision float32`: a processor without bfloat16), on a GPU also the optimizer's fused kernel and multi-tensor
operators. `--compile` adds torch.compile(mode="reduce-overhead").
Batches are random numbers, there before the clock starts; the median counts, of single steps, or on a GPU of stretches of a tenth of a second with
a wait at either end. `gmix bench all` runs it in turn with GMix.
"""
import argparse
import json
import resource
import statistics
import sys
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


def multiplications(model, size):
    """Multiply-adds of one image's forward pass in convolutions and matrix products."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    model.train()
    for hook in hooks:
        hook.remove()
    return total


def sgd(weights, fused):
    settings = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    if fused:
        try:
            return torch.optim.SGD(weights, fused=True, **settings)
        except TypeError:  # before 2.3
            pass
    return torch.optim.SGD(weights, **settings)


class Trainer:
    def __init__(self, model, tuned, bf16, compiled, device, rho=0.05, gamma=0.5):
        self.bf16, self.device, self.rho, self.gamma = bf16, device, rho, gamma
        self.multi_tensor = tuned and device == "cuda"
        self.weights = list(model.parameters())
        self.optimizer = sgd(self.weights, self.multi_tensor)
        self.norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        self.beta = torch.distributions.Beta(1.0, 1.0)
        self.model = torch.compile(model, mode="reduce-overhead") if compiled else model

    def losses(self, x, a, b, lam):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
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
            lam, order = self.beta.sample().item(), torch.randperm(len(x), device=x.device)
            x, b = lam * x + (1 - lam) * x[order], y[order]
        self.optimizer.zero_grad()
        before = self.losses(x, a, b, lam)
        before.mean().backward()
        if method not in ("vanilla", "mixup"):
            self.second_pass(method, x, a, b, lam, before.detach())
        self.optimizer.step()

    def climb(self):
        """Moves the weights uphill; returns what brings them back. On a GPU nothing waits for the norm."""
        grads = [w.grad for w in self.weights]
        home = [w.detach().clone() for w in self.weights]
        with torch.no_grad():
            norm = torch.stack(torch._foreach_norm(grads) if self.multi_tensor else [g.norm() for g in grads]).norm()
            scale = self.rho / (norm + 1e-12)
            if self.multi_tensor:
                torch._foreach_add_(self.weights, torch._foreach_mul(grads, scale))
            else:
                for w, g in zip(self.weights, grads):
                    w.add_(g * scale) if self.device == "cuda" else w.add_(g, alpha=float(scale))
        return home

    def back(self, home):
        with torch.no_grad():
            if self.multi_tensor:
                torch._foreach_copy_(self.weights, home)
            else:
                for w, h in zip(self.weights, home):
                    w.copy_(h)

    def second_pass(self, method, x, a, b, lam, before):
        home = self.climb()
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
        self.back(home)


def measure(trainer, method, batches, steps, device, compiled):
    """Seconds of a step, several times over."""
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    # compilation, the recording of its CUDA graphs and cuDNN's first choices come before
    least = 8 if compiled else 5 if device == "cuda" else 2
    done, begun = 0, time.perf_counter()
    while True:
        wait()
        start = time.perf_counter()
        trainer.step(method, *batches[done % 4])
        wait()
        done, one = done + 1, time.perf_counter() - start
        if done >= least and (time.perf_counter() - begun >= 0.5 or done >= 1000):
            break
    together = max(1, int(0.1 / one)) if device == "cuda" else 1
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        for i in range(together):
            trainer.step(method, *batches[(done + i) % 4])
        wait()
        seconds.append((time.perf_counter() - start) / together)
        done += together
    return seconds


def peak(device, dtype=torch.bfloat16):
    """Operations a second of large matrix products; the best of a few."""
    n = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * n ** 3 / best


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", default="wrn-16-4")
    arguments.add_argument("--methods", default="vanilla,mixup,sam,gmix,bgmix,dgmix")
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--steps", type=int, default=5)
    arguments.add_argument("--size", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments.add_argument("--tuned", action="store_true", help="channels-last, bf16 autocast")
    arguments.add_argument("--precision", default="bf16", choices=["bf16", "float32"], help="of the tuned one")
    arguments.add_argument("--compile", action="store_true", help="torch.compile(mode=\"reduce-overhead\")")
    arguments.add_argument("--tf32", default="conv", choices=["off", "conv", "on"], help="for float32 on a GPU; conv is what PyTorch does when nothing is said")
    arguments.add_argument("--cudnn-benchmark", action="store_true", help="take the fastest convolutions instead of deterministic ones")
    arguments.add_argument("--peak", action="store_true", help="measure bf16 matrix products too")
    given = arguments.parse_args()
    if given.device == "cuda":
        if not torch.cuda.is_available():
            sys.exit(f"peer.py: --device cuda: PyTorch {torch.__version__} sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = given.tf32 == "on"
        torch.backends.cudnn.allow_tf32 = given.tf32 != "off"
        torch.backends.cudnn.benchmark = given.cudnn_benchmark
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = model_of(given.model, given.size)
    result = {"torch": torch.__version__, "model": given.model, "device": torch.cuda.get_device_name() if given.device == "cuda" else "cpu", "tuned": given.tuned,
              "compiled": given.compile, "multiplications": multiplications(model, given.size)}
    if given.peak:
        result["peak_tflops"] = round(peak(given.device) / 1e12, 3)
    model = model.to(given.device)
    if given.tuned:
        model = model.to(memory_format=torch.channels_last)
    trainer = Trainer(model, given.tuned, given.tuned and given.precision == "bf16", given.compile, given.device)
    # made beforehand, as a data loader makes them on the side
    batches = []
    for _ in range(4):
        x = torch.randn(given.batch, 3, given.size, given.size, device=given.device)
        batches.append((x.contiguous(memory_format=torch.channels_last) if given.tuned else x, torch.randint(0, CLASSES, (given.batch,), device=given.device)))
    speeds = {}
    for method in given.methods.split(","):
        seconds = measure(trainer, method, batches, given.steps, given.device, given.compile)
        speeds[method] = round(given.batch / statistics.median(seconds), 1)
    result["img_per_s"] = speeds
    result["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    if given.device == "cuda":
        result["device_mib"] = round(torch.cuda.max_memory_reserved() / 2 ** 20, 1)
    print(json.dumps(result))


main()
