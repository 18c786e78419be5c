"""Rendered training scenes: furnished rooms, ray-cast in batches, with exact depth.

Real RGB-D data that may be used for training shows two places only; these scenes teach what those two cannot:
other layouts, fields of view, colours and lights. A scene is a room (a box seen from inside), a table, and boxes,
ellipsoids and cylinders on floor, table and walls; surfaces carry crops of photos, tinted, or plain colours; light
is a lamp with hard shadows plus ambient light that fades towards edges. Everything is one tensor program over
[scene, object, ray], so that it runs on a GPU at thousands of scenes a second.

Frame: x right, y down, z forward, metres; the camera stands at the origin of the room's x and z.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CANONICAL_FOCAL = 225 / 256  # focal length / width of the training cameras, between the two real ones
BOX, ELLIPSOID, CYLINDER = 0, 1, 2


@dataclass(frozen=True)
class SceneConfig:
    objects: int = 24
    height: int = 192
    width: int = 256
    supersample: int = 2
    max_depth: float = 10.0


@dataclass
class Scene:
    """A batch of B scenes with K solids: solid 0 is the room. All float32 but `kind` and `texture` (int64)."""

    kind: Tensor  # [B,K]
    centre: Tensor  # [B,K,3]
    half: Tensor  # [B,K,3] half extents
    axes: Tensor  # [B,K,3,3] rows are the solid's own axes
    texture: Tensor  # [B,K] index of the photo
    uv: Tensor  # [B,K,3] texture repeats a metre, offset u, offset v
    tint: Tensor  # [B,K,3]
    contrast: Tensor  # [B,K] 0 plain .. 1 full texture
    camera: Tensor  # [B,3,3] camera-to-room rotation
    focal: Tensor  # [B] in image widths
    lamp: Tensor  # [B,3]
    ambient: Tensor  # [B]


class _Draw:
    """Random numbers of one generator on one device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.g = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.g, device=self.g.device) * (high - low) + low

    def integer(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.g, device=self.g.device)

    def chance(self, p: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.g, device=self.g.device) < p


def _rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Ry(yaw) Rx(pitch) Rz(roll), shape [..., 3, 3]; columns are the rotated axes."""
    cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
    rows = [
        cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp,
        cp * sr, cp * cr, -sp,
        cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*yaw.shape, 3, 3)


def draw_scenes(count: int, textures: int, generator: torch.Generator, cfg: SceneConfig) -> Scene:
    """Draws `count` random scenes whose surfaces use photos 0..textures-1."""
    r, b, n = _Draw(generator), count, cfg.objects
    dev = generator.device
    eye = r.uniform(0.25, 1.7, b)  # camera height over the floor
    tall = torch.maximum(r.uniform(2.2, 3.4, b), eye + 0.3)
    room_half = torch.stack([r.uniform(1.2, 4.5, b), tall / 2, r.uniform(1.2, 4.5, b)], -1)
    pitch = -r.uniform(-0.15, 0.75, b) * (eye / 1.7).clamp(min=0.35)  # y points down: negative looks down
    steep = r.chance(0.2, b)
    pitch = torch.where(steep, -r.uniform(0.4, 1.2, b), pitch)
    roll = r.uniform(-0.08, 0.08, b) + r.chance(0.25, b) * r.uniform(-0.5, 0.5, b)
    yaw = r.uniform(-math.pi, math.pi, b)
    camera = _rotation(yaw, pitch, roll)
    # The camera stands off the middle and looks across the room, as photographers do.
    ahead = r.uniform(0.1, 0.8, b)
    aside = r.uniform(-0.3, 0.3, b, 2)
    centre_x = (yaw.sin() * ahead + aside[:, 0]).clamp(-0.9, 0.9) * room_half[:, 0]
    centre_z = (yaw.cos() * ahead + aside[:, 1]).clamp(-0.9, 0.9) * room_half[:, 2]
    room_centre = torch.stack([centre_x, eye - tall / 2, centre_z], -1)
    focal = r.uniform(0.65, 1.5, b)

    kind = r.integer(8, b, n)
    kind = torch.where(kind < 5, BOX, torch.where(kind == 5, ELLIPSOID, CYLINDER))
    spin = r.uniform(-math.pi, math.pi, b, n)
    tilt = r.chance(0.2, b, n) * r.uniform(-0.6, 0.6, b, n)
    axes = _rotation(spin, tilt, torch.zeros_like(tilt)).transpose(-1, -2)
    distance = (r.uniform(math.log(0.6), math.log(5.0), b, n)).exp()
    size = (r.uniform(math.log(0.03), math.log(0.25), b, n, 1) + r.uniform(-0.7, 0.7, b, n, 3)).exp()
    size = (size * distance[..., None]).clamp(max=1.2)
    bearing = yaw[:, None] + r.uniform(-0.55, 0.55, b, n)
    x, z = distance * bearing.sin(), distance * bearing.cos()
    limit = room_half[:, None, :]
    x = room_centre[:, None, 0] + (x - room_centre[:, None, 0]).clamp(-limit[..., 0] + 0.05, limit[..., 0] - 0.05)
    z = room_centre[:, None, 2] + (z - room_centre[:, None, 2]).clamp(-limit[..., 2] + 0.05, limit[..., 2] - 0.05)

    # Solid 1 is a table in half of the scenes; solids 2..1/3 n stand on it, the next third on the floor, the rest
    # hang anywhere (shelves, pictures, arms).
    table_high = torch.where(r.chance(0.6, b), (eye * r.uniform(0.35, 0.8, b)).clamp(0.2, 1.0), 0.0)
    shelf = n // 3
    reach = r.uniform(0.3, 1.0, b, 2)
    near = reach.amax(-1) + r.uniform(0.2, 1.5, b)
    table = torch.stack([near * yaw.sin(), eye - table_high / 2, near * yaw.cos()], -1)
    top = (eye - table_high)[:, None].expand(b, shelf)
    ground = eye[:, None].expand(b, n - 2 * shelf)
    base = torch.cat([top, ground], 1)
    y = torch.cat([base - size[:, : n - shelf, 1], eye[:, None] - r.uniform(0.0, 2.4, b, shelf)], 1)
    on_table = table[:, None, (0, 2)] + (r.uniform(-1.0, 1.0, b, shelf, 2) * reach[:, None])
    has_table = (table_high > 0)[:, None]
    x[:, :shelf] = torch.where(has_table, on_table[..., 0], x[:, :shelf])
    z[:, :shelf] = torch.where(has_table, on_table[..., 1], z[:, :shelf])
    small = torch.where(has_table, 0.4, 1.0)[..., None]
    lift = size[:, :shelf, 1] * (1 - small[..., 0])
    size[:, :shelf] = size[:, :shelf] * small
    y[:, :shelf] += lift

    eye3 = torch.eye(3, device=dev)
    slab = torch.stack([reach[:, 0], table_high / 2 * r.uniform(0.03, 1.0, b), reach[:, 1]], -1)
    table[:, 1] = eye - table_high + slab[:, 1]
    centre = torch.cat([room_centre[:, None], table[:, None], torch.stack([x, y, z], -1)], 1)
    half = torch.cat([room_half[:, None], slab[:, None] * has_table[..., None], size], 1)
    axes = torch.cat([eye3.expand(b, 2, 3, 3), axes], 1)
    kind = torch.cat([torch.full((b, 2), BOX, device=dev), kind], 1)

    k = n + 2
    tint = r.uniform(0.15, 1.3, b, k, 1) * r.uniform(0.75, 1.2, b, k, 3)
    scale = (r.uniform(math.log(0.3), math.log(6.0), b, k, 1)).exp()
    lamp = room_centre + r.uniform(-0.8, 0.8, b, 3) * room_half
    lamp[:, 1] = room_centre[:, 1] - room_half[:, 1] * r.uniform(0.4, 0.95, b)
    return Scene(
        kind=kind, centre=centre, half=half, axes=axes,
        texture=r.integer(textures, b, k), uv=torch.cat([scale, r.uniform(0, 1, b, k, 2)], -1), tint=tint,
        contrast=r.chance(0.75, b, k) * r.uniform(0.2, 1.0, b, k), camera=camera, focal=focal, lamp=lamp,
        ambient=r.uniform(0.3, 0.85, b),
    )  # fmt: skip


def usable(depth: Tensor) -> Tensor:
    """[B,H,W] -> bool [B]: whether the camera sees a place rather than stands inside a thing."""
    flat = depth.flatten(1).float()[:, ::16].sort(1).values
    count = flat.shape[1]
    return (flat[:, count // 20] > 0.3) & (flat[:, count // 2] > 0.55)


def _to_solid(scene: Scene, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
    """Origin [B,R,3] or [B,1,3] and direction [B,R,3] in each solid's frame, scaled to a unit solid: [B,K,R,3]."""
    half = scene.half.clamp(min=1e-4)[:, :, None]
    o = torch.einsum("bkij,bkrj->bkri", scene.axes, origin[:, None] - scene.centre[:, :, None]) / half
    d = torch.einsum("bkij,brj->bkri", scene.axes, ray) / half
    return o, torch.where(d.abs() < 1e-6, 1e-6, d)


def _hit(scene: Scene, origin: Tensor, ray: Tensor) -> Tensor:
    """Distance along `ray` (in its own lengths) to each solid from outside, the room from inside: [B,K,R]."""
    o, d = _to_solid(scene, origin, ray)
    t0, t1 = (-1 - o) / d, (1 - o) / d
    near, far = torch.minimum(t0, t1), torch.maximum(t0, t1)
    enter, leave = near.amax(-1), far.amin(-1)
    box = torch.where(enter < leave, enter, torch.inf)
    kind = scene.kind[:, :, None]
    round_dims = torch.ones_like(o[:, :, :1])
    round_dims[..., 1] = (kind != CYLINDER).float()  # an upright cylinder is round in x and z only
    oo, od, dd = (o * o * round_dims).sum(-1), (o * d * round_dims).sum(-1), (d * d * round_dims).sum(-1)
    root = (od * od - dd * (oo - 1)).clamp(min=0).sqrt()
    hits = od * od > dd * (oo - 1)
    r_enter, r_leave = (-od - root) / dd, (-od + root) / dd
    sphere = torch.where(hits, r_enter, torch.inf)
    c_enter, c_leave = torch.maximum(r_enter, near[..., 1]), torch.minimum(r_leave, far[..., 1])
    cylinder = torch.where(hits & (c_enter < c_leave), c_enter, torch.inf)
    t = torch.where(kind == BOX, box, torch.where(kind == ELLIPSOID, sphere, cylinder))
    t = torch.where((t > 1e-3) & (scene.half.amax(-1) > 0.01)[:, :, None], t, torch.inf)
    t[:, 0] = leave[:, 0]
    return t


def _pick(values: Tensor, solid: Tensor) -> Tensor:
    """values [B,K,...], solid [B,R] -> [B,R,...]."""
    return values[torch.arange(len(values), device=values.device)[:, None], solid]


def render(scene: Scene, photos: Tensor, cfg: SceneConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Photos uint8 [T,S,S,3] -> rgb uint8 [B,3,H,W], depth float32 [B,H,W] in canonical metres.

    Depth is z times CANONICAL_FOCAL / focal: what a camera of the training set's field of view would have to be
    away to see the same picture. A network without the focal length can know no more than that.
    """
    s, dev = cfg.supersample, photos.device
    h, w = cfg.height * s, cfg.width * s
    b = len(scene.kind)
    v, u = torch.meshgrid(torch.arange(h, device=dev), torch.arange(w, device=dev), indexing="ij")
    plane = torch.stack([(u + 0.5 - w / 2) / w, (v + 0.5 - h / 2) / w], -1).reshape(1, -1, 2)
    plane = plane / scene.focal[:, None, None]
    local = torch.cat([plane, torch.ones_like(plane[..., :1])], -1)
    ray = torch.einsum("bij,brj->bri", scene.camera, local)
    t, solid = _hit(scene, torch.zeros(b, 1, 3, device=dev), ray).min(1)  # z depth: local z is 1
    point = ray * t[..., None]

    half, kind = _pick(scene.half, solid), _pick(scene.kind, solid)
    own = torch.einsum("brij,brj->bri", _pick(scene.axes, solid), point - _pick(scene.centre, solid))
    unit = own / half.clamp(min=1e-4)
    flat = F.one_hot(unit.abs().argmax(-1), 3) * unit.sign()
    side = unit * torch.tensor([1.0, 0.0, 1.0], device=dev)
    lid = (unit[..., 1:2].abs() > 0.999).float()
    barrel = torch.where(lid > 0, flat, side / half.clamp(min=1e-4))
    curved = torch.where((kind == ELLIPSOID)[..., None], unit / half, barrel)
    normal = torch.where((kind == BOX)[..., None], flat, curved)
    normal = torch.where((solid == 0)[..., None], -normal, normal)
    normal = F.normalize(torch.einsum("brij,bri->brj", _pick(scene.axes, solid), normal), dim=-1)

    face = unit.abs().argmax(-1, keepdim=True)
    a = torch.where(face == 0, own[..., 2:3], own[..., 0:1])
    c = torch.where(face == 1, own[..., 2:3], own[..., 1:2])
    uv = _pick(scene.uv, solid)
    side_len = photos.shape[1]
    # Each face of a solid starts elsewhere in the photo; mirrored repeats leave no seam.
    place = torch.cat([a, c], -1) * uv[..., :1] + uv[..., 1:] + face * 0.37
    texel = ((place.remainder(2) - 1).abs() * (side_len - 1)).long()
    colour = photos[_pick(scene.texture, solid), texel[..., 1], texel[..., 0]].float() / 255
    contrast = _pick(scene.contrast, solid)[..., None]
    albedo = (0.5 + (colour - 0.5) * contrast) * _pick(scene.tint, solid)

    to_lamp = scene.lamp[:, None] - point
    gap = to_lamp.norm(dim=-1, keepdim=True)
    start = point + normal * 0.01
    blocked = _hit(scene, start, to_lamp)[:, 1:].amin(1, keepdim=True).transpose(1, 2) < 0.98
    lit = (normal * to_lamp / gap).sum(-1, keepdim=True).clamp(min=0) * ~blocked * 2.5 / (1 + gap * gap / 4)
    corner = ((1 - unit.abs()) * half).sort(-1).values[..., 1:2]  # distance to the nearest edge of the face
    hollow = torch.where((solid == 0)[..., None], 0.55 + 0.45 * (corner / 0.5).clamp(max=1), 1.0)
    ambient = scene.ambient[:, None, None]
    light = albedo * (ambient * hollow * (0.75 - 0.25 * normal[..., 1:2]) + (1 - ambient) * lit)

    linear = light.transpose(1, 2).reshape(b, 3, h, w)
    linear = F.avg_pool2d(linear, s)
    exposure = _Draw(generator).uniform(0.28, 0.6, b, 1, 1, 1) / linear.mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
    rgb = ((linear * exposure).clamp(0, 1) ** 0.8 * 255).round().to(torch.uint8)
    depth = t.reshape(b, h, w)[:, s // 2 :: s, s // 2 :: s]
    return rgb, depth * (CANONICAL_FOCAL / scene.focal)[:, None, None]
