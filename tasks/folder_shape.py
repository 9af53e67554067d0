"""What a plan has to know of a user's own images, counted before torch is imported."""

from __future__ import annotations

from tasks import folder_synthetic, image_tree


def tell(
    root: str, source: str, test_set: str | None, channels: int, size: int, **counted: None
) -> dict[str, int]:
    """What a plan has to know of the images: channels, size, and how many classes and samples.

    Args:
        root: ``data.root``.
        source: ``data.source``: real or synthetic, whose numbers are known before it is made.
        test_set: as in `image_tree.read`.
        channels: of the images.
        size: their height and width, in pixels.
        counted: what the file leaves null for this function to tell.

    Raises:
        ValueError: for a size or a root that is none, or a tree that does not fit.
        OSError: for a folder that cannot be read.
    """
    del counted
    if not isinstance(root, str) or not root.strip():
        raise ValueError(
            f"data.root={root}: expected a folder that holds {image_tree.LAYOUT}; name it"
        )
    whole = isinstance(size, int) and not isinstance(size, bool)
    if not whole or size < 1:
        raise ValueError(f"task.size={size}: expected pixels, a whole number from 1 up")
    if source == "synthetic":
        classes, samples = len(folder_synthetic.COLOURS), folder_synthetic.samples("train")
    else:
        tree = image_tree.read(folder_synthetic.place(root, source), test_set)
        classes, samples = len(tree.classes), len(tree.train)
    return {"channels": channels, "classes": classes, "size": size, "samples": samples}
