"""The kinds of steps that random networks are made of, and the registry's own examples."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from triptych.golden.quartdepth.fuzz.kind import Kind, Size
from triptych.golden.quartdepth.fuzz.registered import Registered

CHANNELS = (1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 64, 65)


class Conv(Kind):
    """Dense convolution of any kernel, stride and padding."""

    often = 5.0
    positive = ("o", "kh", "kw", "sy", "sx")

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        common = rng.random() < 0.5
        kh, kw = (rng.choice([(1, 1), (3, 3)])) if common else (rng.randint(1, 5), rng.randint(1, 5))
        half = common or rng.random() < 0.3
        return {
            "o": rng.choice(CHANNELS), "kh": kh, "kw": kw,
            "sy": 1 if rng.random() < 0.6 else rng.randint(1, 3), "sx": 1 if rng.random() < 0.6 else rng.randint(1, 3),
            "py": kh // 2 if half else rng.randint(0, kh - 1), "px": kw // 2 if half else rng.randint(0, kw - 1),
            "bias": rng.random() < 0.8,
        }  # fmt: skip

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        n, s = numbers, sizes[0]
        if n["py"] >= n["kh"] or n["px"] >= n["kw"]:
            return None
        h, w = s.h + 2 * n["py"] - n["kh"], s.w + 2 * n["px"] - n["kw"]
        return None if min(h, w) < 0 else Size(n["o"], h // n["sy"] + 1, w // n["sx"] + 1)

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        n = numbers
        shape = f"({n['kh']}, {n['kw']}), ({n['sy']}, {n['sx']}), ({n['py']}, {n['px']})"
        return {"": f"nn.Conv2d({sizes[0].c}, {n['o']}, {shape}, bias={bool(n['bias'])})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return ["self.{me}({0})"]


class Depthwise(Kind):
    """Depthwise 3x3 convolution."""

    often = 1.5
    positive = ("sy", "sx")

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"sy": rng.choice([1, 1, 2]), "sx": rng.choice([1, 1, 2]), "p": rng.choice([1, 1, 0, 2])}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        s, p = sizes[0], numbers["p"]
        h, w = s.h + 2 * p - 3, s.w + 2 * p - 3
        legal = min(h, w) >= 0 and p < 3 and s.c > 1  # of one channel it is a dense one
        return Size(s.c, h // numbers["sy"] + 1, w // numbers["sx"] + 1) if legal else None

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        c, n = sizes[0].c, numbers
        return {"": f"nn.Conv2d({c}, {c}, 3, ({n['sy']}, {n['sx']}), {n['p']}, groups={c})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return ["self.{me}({0})"]


class Transposed(Kind):
    """Transposed convolution."""

    often = 1.5
    positive = ("o", "kh", "kw", "sy", "sx")

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        sy, sx = rng.randint(1, 3), rng.randint(1, 3)
        kh, kw = rng.randint(sy, sy + 2), rng.randint(sx, sx + 2)
        py, px = rng.randint(0, kh - 1), rng.randint(0, kw - 1)
        ey, ex = rng.randint(0, min(py, sy - 1)), rng.randint(0, min(px, sx - 1))
        return {
            "o": rng.choice(CHANNELS), "kh": kh, "kw": kw, "sy": sy, "sx": sx, "py": py, "px": px, "ey": ey, "ex": ex,
        }  # fmt: skip

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        n, s = numbers, sizes[0]
        for k, stride, p, e in (("kh", "sy", "py", "ey"), ("kw", "sx", "px", "ex")):
            if n[k] < n[stride] or n[p] >= n[k] or n[e] > n[p] or n[e] >= n[stride]:
                return None
        h = (s.h - 1) * n["sy"] - 2 * n["py"] + n["kh"] + n["ey"]
        w = (s.w - 1) * n["sx"] - 2 * n["px"] + n["kw"] + n["ex"]
        return Size(n["o"], h, w)

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        n = numbers
        pairs = ", ".join(f"({n[a]}, {n[b]})" for a, b in (("kh", "kw"), ("sy", "sx"), ("py", "px"), ("ey", "ex")))
        return {"": f"nn.ConvTranspose2d({sizes[0].c}, {n['o']}, {pairs})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return ["self.{me}({0})"]


class Linear(Kind):
    """Linear layer over the channels of every pixel, by different views; maybe behind LayerNorm."""

    often = 2.0
    positive = ("o",)
    VIEWS = (
        ("{0}.permute(0, 2, 3, 1)", ".permute(0, 3, 1, 2)"),
        ("{0}.flatten(2).transpose(1, 2)", ".transpose(1, 2).unflatten(2, ({h}, {w}))"),
        ("{0}.reshape(1, {c}, {n}).movedim(1, 2)", ".permute(0, 2, 1).reshape(1, {o}, {h}, {w})"),
        ("{0}[0].permute(1, 2, 0).reshape({n}, {c})", ".t().reshape(1, {o}, {h}, {w})"),
    )

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"o": rng.choice(CHANNELS), "view": rng.randrange(len(self.VIEWS)), "norm": rng.random() < 0.3}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        return sizes[0]._replace(c=numbers["o"])

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        c = sizes[0].c
        norm = {"_norm": f"nn.LayerNorm({c})"} if numbers["norm"] else {}
        return {**norm, "": f"nn.Linear({c}, {numbers['o']})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        s = sizes[0]
        before, after = self.VIEWS[numbers["view"]]
        sizes_text = {"c": s.c, "h": s.h, "w": s.w, "n": s.h * s.w, "o": numbers["o"]}
        for name, value in sizes_text.items():
            before, after = (t.replace("{" + name + "}", str(value)) for t in (before, after))
        inner = "self.{me}_norm(" + before + ")" if numbers["norm"] else before
        return ["self.{me}(" + inner + ")" + after]


class Relu(Kind):
    """ReLU: of a value, in place, in place on a view of it."""

    often = 2.5
    FORMS = (
        ["{0}.relu()"],
        ["F.relu({0})"],
        ["F.relu_({0})"],
        ["F.relu_({0}.flatten(2))", "{0}"],
        ["{0}.flatten(2).relu().unflatten(2, {0}.shape[2:])"],
    )

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"form": rng.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4])}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        return sizes[0]

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return self.FORMS[numbers["form"]]


class BatchNorm(Kind):
    """BatchNorm with statistics of its own."""

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        return sizes[0]

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        return {"": f"nn.BatchNorm2d({sizes[0].c})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return ["self.{me}({0})"]


class Views(Kind):
    """Reshapes and permutations that undo each other."""

    FORMS = (
        "{0}.flatten(2).unflatten(2, {0}.shape[2:])",
        "{0}.permute(2, 0, 3, 1).permute(1, 3, 0, 2).contiguous()",
        "{0}.transpose(1, 3).clone().transpose(1, 3)",
        "F.dropout({0}, 0.5, self.training).squeeze(0)[None]",
        "{0}.reshape(-1).unflatten(0, {0}.shape)",
    )

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"form": rng.randrange(len(self.FORMS))}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        return sizes[0]

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return [self.FORMS[numbers["form"]]]


class Add(Kind):
    """A sum of two values of one size; in place, behind a view, with ReLU."""

    often = 3.0
    FORMS = (
        ["{0} + {1}"],
        ["({0} + {1}).relu()"],
        ["({0}.flatten(2) + {1}.flatten(2)).unflatten(2, {0}.shape[2:])"],
        ["{0}.add_({1})"],
        ["{0}.permute(0, 2, 3, 1).add_({1}.permute(0, 2, 3, 1))", "{0}"],
    )

    def inputs(self, rng: random.Random, sizes: Sequence[Size], pick: int) -> tuple[int, ...] | None:
        others = [n for n, s in enumerate(sizes) if s == sizes[pick] and n != pick]
        return (pick, rng.choice(others)) if others else (pick, pick) if rng.random() < 0.1 else None

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"form": rng.choice([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4])}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        return sizes[0] if sizes[0] == sizes[1] else None

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return self.FORMS[numbers["form"]]


class Concat(Kind):
    """Channels of two or three values, one after the other."""

    often = 2.0

    def inputs(self, rng: random.Random, sizes: Sequence[Size], pick: int) -> tuple[int, ...] | None:
        others = [n for n, s in enumerate(sizes) if s[1:] == sizes[pick][1:] and n != pick]
        if not others:
            return None
        return (pick, *rng.sample(others, min(len(others), rng.choice([1, 1, 2]))))

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        same = all(s[1:] == sizes[0][1:] for s in sizes)
        return sizes[0]._replace(c=sum(s.c for s in sizes)) if same else None

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        return ["torch.cat([" + ", ".join("{" + str(n) + "}" for n in range(len(sizes))) + "], 1)"]


class Attention(Kind):
    """Self-attention over the positions of a patch, with projections; with LayerNorm, residual, either spelling."""

    often = 1.5
    positive = ("heads", "dim", "py", "px", "o")

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        heads = rng.choice([1, 1, 2, 3, 4])
        return {
            "heads": heads, "dim": rng.choice([1, 3, 4, 8, 12, 16, 20, 24, 33]), "py": rng.choice([1, 1, 2, 3]),
            "px": rng.choice([1, 1, 2, 3]), "norm": rng.random() < 0.4, "joint": rng.random() < 0.6,
            "spelled": rng.random() < 0.4, "residual": rng.random() < 0.5,
            "o": rng.choice(CHANNELS),
        }  # fmt: skip

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        n, s = numbers, sizes[0]
        if s.h % n["py"] or s.w % n["px"] or s.h * s.w > 400 or n["heads"] * n["dim"] > 96:
            return None
        return s if n["residual"] else s._replace(c=n["o"])

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        n, c = numbers, sizes[0].c
        width = n["heads"] * n["dim"]
        norm = {"_norm": f"nn.LayerNorm({c})"} if n["norm"] else {}
        names = {"_qkv": 3 * width} if n["joint"] else {"_q": width, "_k": width, "_v": width}
        out = c if n["residual"] else n["o"]
        projections = {k: f"nn.Linear({c}, {v}, bias={not n['spelled']})" for k, v in names.items()}
        return {**norm, **projections, "_out": f"nn.Linear({width}, {out})"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        n, s = numbers, sizes[0]
        heads, dim, py, px = n["heads"], n["dim"], n["py"], n["px"]
        h, w, t = s.h // py, s.w // px, s.h // py * (s.w // px)
        split = f".reshape({py * px}, {t}, {heads}, {dim}).transpose(1, 2)"
        lines = [
            f"t = {{0}}.reshape(1, {s.c}, {h}, {py}, {w}, {px}).permute(0, 3, 5, 2, 4, 1)",
            f"t = t.reshape({py * px}, {t}, {s.c})",
            "n = self.{me}_norm(t)" if n["norm"] else "n = t",
        ]
        if n["joint"]:
            lines.append("q, k, v = (p" + split + " for p in self.{me}_qkv(n).chunk(3, -1))")
        else:
            lines.append("q, k, v = (p(n)" + split + " for p in (self.{me}_q, self.{me}_k, self.{me}_v))")
        if n["spelled"]:
            lines.append(f"y = ((q @ k.transpose(-1, -2)) * {dim**-0.5:.6f}).softmax(-1) @ v")
        else:
            lines.append("y = F.scaled_dot_product_attention(q, k, v)")
        lines.append(f"y = self.{{me}}_out(y.transpose(1, 2).reshape({py * px}, {t}, {heads * dim}))")
        out = s.c if n["residual"] else n["o"]
        if n["residual"]:
            lines.append("y = y + t")
        back = f".reshape(1, {py}, {px}, {h}, {w}, {out}).permute(0, 5, 3, 1, 4, 2).reshape(1, {out}, {s.h}, {s.w})"
        return [*lines, "y" + back]


class BareAttention(Kind):
    """Attention of a convolution's result with itself, without projections, as the output."""

    last = True
    positive = ("o", "py", "px")

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"o": rng.choice(CHANNELS), "py": rng.choice([1, 1, 2, 3]), "px": rng.choice([1, 1, 2, 3])}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        n, s = numbers, sizes[0]
        fits = not s.h % n["py"] and not s.w % n["px"] and s.h * s.w <= 400
        return s._replace(c=n["o"]) if fits else None

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        return {"": f"nn.Conv2d({sizes[0].c}, {numbers['o']}, 3, padding=1)"}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        n, s = numbers, sizes[0]
        o, py, px = n["o"], n["py"], n["px"]
        h, w = s.h // py, s.w // px
        there = f".reshape(1, {o}, {h}, {py}, {w}, {px}).permute(0, 3, 5, 2, 4, 1).reshape({py * px}, {h * w}, {o})"
        back = f".reshape(1, {py}, {px}, {h}, {w}, {o}).permute(0, 5, 3, 1, 4, 2).reshape(1, {o}, {s.h}, {s.w})"
        return ["t = self.{me}({0})" + there, "F.scaled_dot_product_attention(t, t, t)" + back]


KINDS: dict[str, Kind] = {
    kind.__name__: kind()
    for kind in (
        Conv, Depthwise, Transposed, Linear, Relu, BatchNorm, Views, Add, Concat, Attention, BareAttention, Registered,
    )
}  # fmt: skip
