"""Takes the documentation's pictures from what the tests of the pages kept."""

import shutil
import sys

from tests.paths import ROOT, relative

SCREENSHOTS = ROOT / "build" / "screenshots"
IMAGES = ROOT / "doc" / "images"
# A reader on a slow line waits for them.
MOST_BYTES = 150 * 1024


def main() -> int:
    """Copy each picture that the documentation has; the exit status."""
    for image in sorted(IMAGES.glob("*.png")):
        taken = SCREENSHOTS / image.name
        if not taken.exists():
            print(
                f"{relative(taken)} is missing: pytest tests/demo/pages takes it", file=sys.stderr
            )
            return 2
        if taken.stat().st_size > MOST_BYTES:
            print(f"{relative(taken)} has more than {MOST_BYTES} bytes", file=sys.stderr)
            return 2
    for image in sorted(IMAGES.glob("*.png")):
        shutil.copyfile(SCREENSHOTS / image.name, image)
        print(relative(image))
    return 0


if __name__ == "__main__":
    sys.exit(main())
