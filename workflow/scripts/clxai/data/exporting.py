"""The images of a sample for the eyes of others: whoever computes maps of their own sees which images, in which order."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from clxai.data.datasets import ImageData, ids_of
from clxai.runtime.artefacts import write_npz, write_table


def export_images(data: ImageData, index: np.ndarray, folder: str | Path) -> pd.DataFrame:
    """Write the images of a data set at some positions into a folder; return their ids.

    `ids.csv` has index, crc32, label, class and, where there is one, name; `images.npz` the pixels, uint8 [image, channel, y, x],
    and the ids, in the same order; `png/{index}.png` each image as a picture, where it is grey or has three or four channels.
    """
    folder, pixels, ids = Path(folder), np.asarray(data.images[index]), ids_of(data, index)
    labels = data.labels[index]
    write_npz({"images": pixels, "label": labels, **ids}, folder / "images.npz")
    table = pd.DataFrame({**ids, "label": labels, "class": np.array(data.class_names)[labels]})
    write_table(table, folder / "ids.csv")
    (folder / "png").mkdir(exist_ok=True)
    if pixels.shape[1] in (1, 3, 4):
        for number, image in zip(index.tolist(), pixels, strict=True):
            Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(folder / "png" / f"{number}.png")
    return table
