"""Names and limits that the config check and the library share; free of imports, so that planning stays quick."""

SPLITS = ("train", "val", "test")
ORDERS = ("morf", "lerf")
FLIPPING_PRECISIONS = ("float32", "bfloat16")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FOLDERS = ("data", "exported", "logs", "benchmarks")  # of a data set, beside those of its models
STUDIES = "studies"  # the folder of what belongs to one study, beside those of the data sets
MAP_ARRAYS = ("attribution", "maps")  # what the array of maps is called in a user's file, where it holds several
HEAD_PLACE = "{head}"  # in the path of a user's maps: the name of the head
ALL = "all"  # in tables: not one name but the mean over all
NO_LOSS = "none"  # of a model that was not trained by a loss of this library: nothing sits on its embedding
REFERENCE = "random"  # the attribution that every other one is compared with
