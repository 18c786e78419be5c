"""A ray caster for boxes, ellipsoids and cylinders: batches of scenes to photos and exact depth.

Everything is one tensor program over [scene, solid, ray]; on a CUDA device it is compiled into one kernel a pass.
World: x and z along the ground, y up, metres. Depth is the distance along the optical axis, not along the ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

NOTHING, BOX, ELLIPSOID, CYLINDER = -1, 0, 1, 2
SKY_DEPTH = 80.0
_CURVED_SIDE = 0.999  # of a cylinder: below this share of its half height a point is on its barrel
_LIFT = 2e-3  # metres off a surface where its shadow rays start, so that they miss it
_NEAR = 1e-3  # metres before which nothing is hit


@dataclass
class Scene:
    """B scenes of K solids, float32 but where said. A solid's own axes are the rows of `axes`."""

    kind: Tensor  # int64 [B,K], NOTHING where a scene has fewer solids
    centre: Tensor  # [B,K,3]
    half: Tensor  # [B,K,3] half extents
    axes: Tensor  # [B,K,3,3]
    texture: Tensor  # int64 [B,K] index of its picture
    uv: Tensor  # [B,K,4] repeats a metre along u and v, offsets; repeats 0: the picture fills each face once
    tint: Tensor  # [B,K,3]
    contrast: Tensor  # [B,K] of the picture, 0 plain .. 1 full
    gloss: Tensor  # [B,K] strength of the highlight
    glow: Tensor  # [B,K] light of its own
    eye: Tensor  # [B,3]
    camera: Tensor  # [B,3,3] columns: right, down and forward in the world
    focal: Tensor  # [B] in image widths
    lamp: Tensor  # [B,4] position and radius, metres; the sun is far and wide
    falloff: Tensor  # [B] metres in which the lamp's light halves; 0: never
    ambient: Tensor  # [B] share of light without direction
    sky: Tensor  # [B,2,3] colour at the horizon and above
    haze: Tensor  # [B] share of a surface's colour lost a metre

    def to(self, device: torch.device) -> Scene:
        return Scene(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass
class Picture:
    """rgb: uint8 [B,3,H,W]; depth: float32 [B,H,W], metres along the axis, SKY_DEPTH where nothing is hit; solid:
    int64 [B,H,W], its index, -1 for the sky."""

    rgb: Tensor
    depth: Tensor
    solid: Tensor


def to_unit(scene: Scene) -> tuple[Tensor, Tensor]:
    """World to each solid's unit frame: matrix [B,K,3,3] and the image of the world's origin [B,K,3]."""
    matrix = scene.axes / scene.half.clamp(min=1e-4)[..., None]
    return matrix, -(matrix * scene.centre[:, :, None]).sum(-1)


def _nearest(kind: Tensor, matrix: Tensor, shift: Tensor, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
    """First hit of rays: distance [B,R] in lengths of `ray` and solid [B,R].

    kind [B,K], origin and ray [B,R,3]. Solids are entered from outside; a ray that starts within one
    leaves it unseen.
    """
    m, s = matrix[:, :, :, :, None], shift[:, :, :, None]
    o = [m[:, :, i, 0] * origin[:, None, :, 0] + m[:, :, i, 1] * origin[:, None, :, 1]
         + m[:, :, i, 2] * origin[:, None, :, 2] + s[:, :, i] for i in range(3)]  # fmt: skip
    d = [m[:, :, i, 0] * ray[:, None, :, 0] + m[:, :, i, 1] * ray[:, None, :, 1] + m[:, :, i, 2] * ray[:, None, :, 2]
         for i in range(3)]  # fmt: skip
    d = [torch.where(x.abs() < 1e-7, 1e-7, x) for x in d]
    t0, t1 = [(-1 - p) / v for p, v in zip(o, d, strict=True)], [(1 - p) / v for p, v in zip(o, d, strict=True)]
    near = [torch.minimum(a, b) for a, b in zip(t0, t1, strict=True)]
    far = [torch.maximum(a, b) for a, b in zip(t0, t1, strict=True)]
    k = kind[:, :, None]
    enter = torch.maximum(torch.maximum(near[0], near[1]), near[2])
    leave = torch.minimum(torch.minimum(far[0], far[1]), far[2])
    box = torch.where(enter < leave, enter, torch.inf)
    tall = (k != CYLINDER).float()  # an upright cylinder is round in x and z only
    oo = o[0] * o[0] + o[1] * o[1] * tall + o[2] * o[2]
    od = o[0] * d[0] + o[1] * d[1] * tall + o[2] * d[2]
    dd = d[0] * d[0] + d[1] * d[1] * tall + d[2] * d[2]
    square = od * od - dd * (oo - 1)
    root = square.clamp(min=0).sqrt()
    first, last = (-od - root) / dd, (-od + root) / dd
    ball = torch.where(square > 0, first, torch.inf)
    c_first, c_last = torch.maximum(first, near[1]), torch.minimum(last, far[1])
    cylinder = torch.where((square > 0) & (c_first < c_last), c_first, torch.inf)
    t = torch.where(k == BOX, box, torch.where(k == ELLIPSOID, ball, cylinder))
    t = torch.where((t > _NEAR) & (k != NOTHING), t, torch.inf)
    found = t.min(1)
    return found.values, found.indices


class Caster:
    """`_nearest`, compiled if there is much to cast: its temporaries over [scene, solid, ray] would take the time.

    Otherwise solid by solid, so that they stay in a CPU's cache. Both give the same bits.
    """

    def __init__(self, compiled: bool) -> None:
        self.run: Callable[..., tuple[Tensor, Tensor]] = (
            torch.compile(_nearest, dynamic=False) if compiled else self._by_solid
        )

    @staticmethod
    def _by_solid(kind: Tensor, matrix: Tensor, shift: Tensor, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
        best, which = _nearest(kind[:, :1], matrix[:, :1], shift[:, :1], origin, ray)
        for k in range(1, kind.shape[1]):
            part = slice(k, k + 1)
            t, _ = _nearest(kind[:, part], matrix[:, part], shift[:, part], origin, ray)
            which = torch.where(t < best, k, which)
            best = torch.minimum(t, best)
        return best, which


def _pick(values: Tensor, solid: Tensor) -> Tensor:
    """values [B,K,...], solid [B,R] -> [B,R,...]."""
    return values[torch.arange(len(values), device=values.device)[:, None], solid]


def _normals(kind: Tensor, unit: Tensor, half: Tensor) -> Tensor:
    """Outward normals in the solid's frame of points `unit` [B,R,3] on unit solids of half extents [B,R,3]."""
    flat = F.one_hot(unit.abs().argmax(-1), 3) * unit.sign()
    barrel = unit / half * torch.tensor([1.0, 0.0, 1.0], device=unit.device)
    barrel = torch.where(
        unit[..., 1:2].abs() > _CURVED_SIDE, flat * torch.tensor([0.0, 1, 0], device=unit.device), barrel
    )
    curved = torch.where((kind == ELLIPSOID)[..., None], unit / half, barrel)
    return F.normalize(torch.where((kind == BOX)[..., None], flat, curved), dim=-1)


def _colour(scene: Scene, solid: Tensor, unit: Tensor, spread: Tensor, pictures: Tensor) -> Tensor:
    """Albedo [B,R,3] where rays hit. spread: metres that a ray covers there. pictures: uint8 [3,T,S,S,3]."""
    half, uv = _pick(scene.half, solid), _pick(scene.uv, solid)
    kind, own = _pick(scene.kind, solid), unit * half
    face = unit.abs().argmax(-1, keepdim=True)
    round_ = (kind != BOX)[..., None] & (face != 1)
    turn = torch.atan2(own[..., 2:3], own[..., 0:1])
    a = torch.where(round_, turn * half[..., 0:1], torch.where(face == 0, own[..., 2:3], own[..., 0:1]))
    c = torch.where(face == 1, own[..., 2:3], -own[..., 1:2])
    a_unit = torch.where(round_, turn / torch.pi, torch.where(face == 0, unit[..., 2:3], unit[..., 0:1]))
    c_unit = torch.where(face == 1, unit[..., 2:3], -unit[..., 1:2])
    fit = uv[..., :1] == 0
    # Each face starts elsewhere in its picture; mirrored repeats leave no seam.
    repeats = torch.cat([a, c], -1) * uv[..., :2] + uv[..., 2:] + face * 0.37
    place = torch.where(fit, torch.cat([a_unit, c_unit], -1).clamp(-0.999, 0.999) / 2 + 0.5, repeats.remainder(2))
    place = torch.where(place > 1, 2 - place, place)
    side = pictures.shape[2]
    texel = (place * side).long().clamp(0, side - 1)
    a_metre = torch.where(fit[..., 0], 0.5 / half.amax(-1), uv[..., :2].amax(-1))
    level = (spread * a_metre * side).clamp(min=1e-6).log2().div(2).round().clamp(0, 2).long()
    colour = pictures[level, _pick(scene.texture, solid), texel[..., 1], texel[..., 0]].float() / 255
    contrast = _pick(scene.contrast, solid)[..., None]
    return (0.5 + (colour - 0.5) * contrast) * _pick(scene.tint, solid)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _scattered(count: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Unit vectors [B,R,3] in all directions."""
    return F.normalize(torch.randn((*count, 3), generator=generator, device=generator.device), dim=-1)


@dataclass(frozen=True)
class Quality:
    """rays: a pixel's side of them. samples: of lamp and surroundings, a ray. reach: metres in which neighbours darken.
    compiled: see `Caster`."""

    rays: int = 2
    samples: int = 1
    reach: float = 0.6
    compiled: bool = False


def _light(scene: Scene, world: tuple[Tensor, Tensor], caster: Caster, quality: Quality, point: Tensor, normal: Tensor,
           view: Tensor, solid: Tensor, albedo: Tensor, generator: torch.Generator) -> Tensor:  # fmt: skip
    """Light [B,R,3] that leaves `point`: the lamp, soft-shadowed, its highlight, and what comes from all sides.

    Rays to random places of the lamp and into random directions, for what stands close: their noise goes away as a
    pixel's rays are averaged, what is left looks like a sensor's.
    """
    count = (point.shape[0], point.shape[1])
    start = point + normal * _LIFT
    falloff, ambient = scene.falloff[:, None, None], scene.ambient[:, None, None]
    gloss = _pick(scene.gloss, solid)[..., None]
    out = albedo * _pick(scene.glow, solid)[..., None]
    for _ in range(quality.samples):
        to_lamp = scene.lamp[:, None, :3] + scene.lamp[:, None, 3:] * _scattered(count, generator) - start
        gap = to_lamp.norm(dim=-1, keepdim=True)
        free = (caster.run(scene.kind, *world, start, to_lamp)[0] >= 1)[..., None]
        strength = torch.where(falloff > 0, 2 / (1 + (gap / falloff.clamp(min=1e-3)) ** 2), 1.6)
        towards = to_lamp / gap
        lit = (normal * towards).sum(-1, keepdim=True).clamp(min=0) * free * strength
        half_way = F.normalize(towards - view, dim=-1)
        shine = (normal * half_way).sum(-1, keepdim=True).clamp(min=0) ** 40 * free * gloss
        side = F.normalize(normal + _scattered(count, generator), dim=-1) * quality.reach
        close = caster.run(scene.kind, *world, start, side)[0].clamp(max=1)[..., None]
        around = ambient * (0.8 + 0.2 * normal[..., 1:2]) * (0.35 + 0.65 * close)
        out = out + (albedo * (around + (1 - ambient) * lit) + shine) / quality.samples
    return out


def rays(scene: Scene, size: tuple[int, int], device: torch.device) -> Tensor:
    """A ray [B,H*W,3] through each pixel's centre, one metre long along the optical axis."""
    h, w = size
    v, u = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    plane = torch.stack([(u + 0.5 - w / 2) / w, (v + 0.5 - h / 2) / w], -1).reshape(1, -1, 2)
    plane = plane / scene.focal[:, None, None]
    local = torch.cat([plane, torch.ones_like(plane[..., :1])], -1)
    return torch.einsum("bij,brj->bri", scene.camera, local)


def render(scene: Scene, pictures: Tensor, size: tuple[int, int], generator: torch.Generator,
           quality: Quality | None = None) -> Picture:  # fmt: skip
    """Photos and depth of `size`. pictures: uint8 [3,T,S,S,3] (`materials`). Depth is that of the ray nearest to a
    pixel's middle, never a mean over an edge."""
    quality = quality or Quality()
    caster, oversample = Caster(quality.compiled), quality.rays
    device, (h, w), b = scene.kind.device, size, len(scene.kind)
    ray = rays(scene, (h * oversample, w * oversample), device)
    world = to_unit(scene)
    t, solid = caster.run(scene.kind, *world, scene.eye[:, None].expand_as(ray).contiguous(), ray)
    hit = torch.isfinite(t)
    depth = torch.where(hit, t, SKY_DEPTH)  # a ray is one metre long along the axis, so that t is depth
    point = scene.eye[:, None] + ray * depth[..., None]
    axes, half = _pick(scene.axes, solid), _pick(scene.half, solid).clamp(min=1e-4)
    unit = torch.einsum("brij,brj->bri", axes, point - _pick(scene.centre, solid)) / half
    normal = torch.einsum("brij,bri->brj", axes, _normals(_pick(scene.kind, solid), unit, half))
    view = F.normalize(ray, dim=-1)
    slant = (normal * view).sum(-1).abs().clamp(min=0.1)
    spread = depth / (scene.focal[:, None] * w * oversample * slant)
    albedo = _colour(scene, solid, unit, spread, pictures)
    light = _light(scene, world, caster, quality, point, normal, view, solid, albedo, generator)
    up = view[..., 1:2].clamp(0, 1) ** 0.6
    sky = scene.sky[:, None, 0] * (1 - up) + scene.sky[:, None, 1] * up
    kept = (-scene.haze[:, None] * depth).exp()[..., None]
    light = torch.where(hit[..., None], light * kept + scene.sky[:, None, 0] * (1 - kept), sky)
    linear = F.avg_pool2d(light.transpose(1, 2).reshape(b, 3, h * oversample, w * oversample), oversample)
    wanted = 0.25 + 0.3 * _uniform((b, 1, 1, 1), generator)
    exposure = wanted / linear.mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
    rgb = ((linear * exposure).clamp(0, 1) ** 0.8 * 255).round().to(torch.uint8)
    grid = (b, h, oversample, w, oversample)
    middle = oversample // 2
    index = torch.where(hit, solid, -1).reshape(grid)[:, :, middle, :, middle]
    return Picture(rgb, depth.clamp(max=SKY_DEPTH).reshape(grid)[:, :, middle, :, middle], index)


def batch(scenes: list[dict[str, NDArray[np.generic]]], solids: int) -> Scene:
    """Scenes of a builder, each padded to so many solids."""
    columns: dict[str, list[Tensor]] = {f.name: [] for f in fields(Scene)}
    for scene in scenes:
        missing = solids - len(scene["kind"])
        for name, column in columns.items():
            values = torch.from_numpy(np.asarray(scene[name]))
            if name in PER_SOLID:
                fill = NOTHING if name == "kind" else 0
                values = torch.cat([values, torch.full((missing, *values.shape[1:]), fill, dtype=values.dtype)])
            column.append(values)
    return Scene(**{name: torch.stack(column) for name, column in columns.items()})


PER_SOLID = ("kind", "centre", "half", "axes", "texture", "uv", "tint", "contrast", "gloss", "glow")
