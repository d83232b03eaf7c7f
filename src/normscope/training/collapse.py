"""Whether a network still guesses when its training ends."""

import math

LEAST_STEPS = 100  # after fewer, a network has hardly begun to learn
STANDARD_ERRORS = 3  # guessing does better than that in one epoch of 740


def why_collapsed(
    train_accuracy_percent: float, images: int, largest_class: int, steps: int
) -> str | None:
    """Why a trial that was trained to the end has collapsed; None if it has not.

    It has collapsed if, after `LEAST_STEPS` steps or more, the running train accuracy of its last
    epoch is at most that of guessing plus three standard errors:

        p + 3 sqrt(p (1 - p) / N)

    N: the number of training images. p: the share of the largest of their classes, which is the
    accuracy of a network that always answers with that class. The standard error is that of a
    binomial share, since such an epoch judges every training image once.
    """
    if steps < LEAST_STEPS:
        return None
    error_images = math.sqrt(largest_class * (images - largest_class) / images)
    limit_percent = 100 * (largest_class + STANDARD_ERRORS * error_images) / images
    if train_accuracy_percent > limit_percent:
        return None
    return (
        f"train accuracy in the last epoch was {train_accuracy_percent:.1f} %, where guessing the "
        f"largest class gives {100 * largest_class / images:.1f} %"
    )
