"""Names and limits that the config check and the library share; free of imports, so that planning stays quick."""

SPLITS = ("train", "val", "test")
FILLS = ("mean", "zero", "blur", "noise")
ORDERS = ("morf", "lerf")
FLIPPING_PRECISIONS = ("float32", "bfloat16")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FOLDERS = ("data", "logs", "benchmarks")  # of a data set, beside those of its models
STUDIES = "studies"  # the folder of what belongs to one study, beside those of the data sets
STEMS = ("small", "large")
LAYERS = ("layer1", "layer2", "layer3", "layer4")
LARGE_STEM_FROM_PX = 96  # from here on the 7x7 stem leaves layer4 at least 3x3
ALL = "all"  # in tables: not one name but the mean over all
REFERENCE = "random"  # the attribution that every other one is compared with
_STRIDE = {"small": 8, "large": 32}  # of layer4, in pixels


def choose_stem(stem: str, size: int) -> str:
    """Resolve `auto`: the ImageNet stem from 96 px on, the small-image stem below."""
    return ("large" if size >= LARGE_STEM_FROM_PX else "small") if stem == "auto" else stem


def smallest_size(stem: str) -> int:
    """Return the smallest image size in pixels that leaves layer4 at least 2x2."""
    return 2 * _STRIDE[stem]


def allowed_units(size: int) -> list[int]:
    """Return the unit sizes in pixels that tile an image of `size` pixels at least 2 x 2 times."""
    return [px for px in range(1, size // 2 + 1) if size % px == 0]
