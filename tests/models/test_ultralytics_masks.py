import cv2
import numpy as np
import pytest
from models.odd import odd_boxes
from models.test_ultralytics import pictures_of_some_size, small_checkpoint
from shared import needs_ultralytics

from humanverse.errors import UsageError
from humanverse.models.torched import How
from humanverse.models.ultralytics import UltralyticsDetector, letterbox
from humanverse.models.ultralytics_masks import UltralyticsSegmenter, at_image_size, matched

CPU = How(device="cpu", batch=2)
KINDS = ("yolo11n-seg", "yolo26n-seg")


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    """A segmentation network of the package's own making, at 160 pixels, with seeded weights.

    Its norms have seen the tests' pictures, so that heads are given values of a usual size.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed")
    needs_ultralytics()
    from ultralytics import YOLO

    torch.manual_seed(0)
    made = YOLO(f"{request.param}.yaml", task="segment")
    for module in made.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    head = made.model.model[-1]
    seen = np.stack([letterbox(image, (160, 160))[0] for image in pictures_of_some_size()])
    with torch.no_grad():
        made.model.train()(torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255)
        for name in ("cv2", "cv3", "cv4", "one2one_cv2", "one2one_cv3", "one2one_cv4"):
            for branch in getattr(head, name, None) or ():
                branch[-1].weight.normal_(0, 0.05 if name.endswith("cv2") else 0.3)
                if name.endswith("cv3"):
                    branch[-1].bias.fill_(-9)
                    branch[-1].bias[0] = -2.94  # the threshold, so that half of them count
                elif name.endswith("cv2"):  # sides of some cells, where they are told in 16 steps
                    steps = len(branch[-1].bias) // 4
                    branch[-1].bias.copy_(3 - torch.arange(steps).repeat(4))
    made.model.eval()
    made.ckpt["train_args"] = {"imgsz": 160}
    path = tmp_path_factory.mktemp(request.param) / "small.pt"
    made.save(path)
    return path


def squares():
    """Images which a checkpoint and an export are given alike."""
    return [cv2.resize(image, (200, 200)) for image in pictures_of_some_size()]


def by_package(package, image):
    """Boxes (n, 4) and masks (n, H, W) of `predict`, of the surest people."""
    (found,) = package.predict(
        np.ascontiguousarray(image[..., ::-1]),
        **{"conf": 0.05, "classes": [0], "imgsz": 160, "rect": True, "retina_masks": True},
        end2end="yolo26" in str(package.ckpt_path),
        **{"device": "cpu", "verbose": False, "save": False},
    )
    return found.boxes.xyxy.numpy()[:12], found.masks.data.numpy()[:12].astype(bool)


def iou(one, other):
    union = (one | other).sum()
    return (one & other).sum() / union if union else 1.0


def test_masks_of_a_checkpoint_are_those_of_predict(checkpoint):
    segmenter = UltralyticsSegmenter(checkpoint, trusted=True, how=CPU)
    detector = UltralyticsDetector(checkpoint, trusted=True, how=CPU)
    from ultralytics import YOLO

    package = YOLO(str(checkpoint), task="segment")
    seen = 0
    images = [*pictures_of_some_size(), *squares()]
    for image in (image for image in images if min(image.shape[:2]) > 2):
        boxes, masks = by_package(package, image)
        (people,) = detector.detect([image])
        for box, owners, mask in zip(boxes, alone(segmenter, image, boxes), masks, strict=True):
            if (np.abs(people.boxes - box).max(axis=1) < 2).sum() > 1:
                continue  # two people of one box
            # Where a box ends, a hundredth of a pixel decides on a row or a column.
            assert iou(owners, mask) >= 0.99 or (owners != mask).sum() <= max(image.shape)
            seen += 0.2 < mask.sum() / np.prod(box[2:] - box[:2]) < 0.95
    assert seen > 5, "the weights see everything, or nothing"


def alone(segmenter, image, boxes):
    """The mask of each box, asked for by itself."""
    found = segmenter.segment([image] * len(boxes), [box[None] for box in boxes])
    return [owners.astype(bool) for owners in found]


def test_an_image_is_seen_the_same_alone_and_among_others(checkpoint):
    segmenter = UltralyticsSegmenter(checkpoint, trusted=True, how=CPU)
    images = pictures_of_some_size()
    detector = UltralyticsDetector(checkpoint, trusted=True, how=CPU)
    boxes = [people.boxes[:5] for people in detector.detect(images)]
    assert all(map(len, boxes)), "a network for segmentation detects, too"
    together = segmenter.segment(images, boxes)
    assert sum(owners.any() for owners in together) > 1
    for image, people, among in zip(images, boxes, together, strict=True):
        (owners,) = segmenter.segment([image], [people])
        assert (owners == among).mean() >= 0.999


def test_odd_boxes_which_nobody_fits_have_no_mask(checkpoint):
    segmenter = UltralyticsSegmenter(checkpoint, trusted=True, how=CPU)
    for image in pictures_of_some_size():
        boxes = odd_boxes(*image.shape[:2])
        (owners,) = segmenter.segment([image], [boxes])
        assert owners.shape == image.shape[:2]
        assert not (owners == 2).any(), "half a pixel"
        assert not (owners == 8).any(), "outside"
    (none,) = segmenter.segment([image], [boxes[:0]])
    assert not none.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_an_export_gives_the_masks_of_its_checkpoint(checkpoint, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = exported(checkpoint, tmp_path)
    images = squares()
    detector = UltralyticsDetector(path, how=CPU)
    boxes = [people.boxes[:5] for people in detector.detect(images)]
    assert all(map(len, boxes))
    ours = UltralyticsSegmenter(path, how=CPU).segment(images, boxes)
    theirs = UltralyticsSegmenter(checkpoint, trusted=True, how=CPU).segment(images, boxes)
    for export, network in zip(ours, theirs, strict=True):
        assert (export == network).mean() >= 0.99
    assert sum(owners.any() for owners in ours) > 1


def exported(checkpoint, folder):
    """The checkpoint as ONNX, by torch's own exporter: the outputs that the package's has."""
    torch = pytest.importorskip("torch")
    from ultralytics import YOLO

    network = YOLO(str(checkpoint), task="segment").model.eval()
    head = network.model[-1]
    head.export, head.format = True, "onnx"
    if getattr(head, "one2one_cv2", None) is not None:
        head.end2end = True
    network = network.fuse(verbose=False)
    path = folder / "small.onnx"
    torch.onnx.export(
        network,
        torch.zeros(1, 3, 160, 160),
        str(path),
        input_names=["images"],
        output_names=["output0", "output1"],
        dynamo=False,
    )
    return path


def test_a_detector_gives_no_masks_and_is_refused(tmp_path):
    path = small_checkpoint(tmp_path, "yolo11n")
    with pytest.raises(UsageError, match="made to detect, not to segment"):
        UltralyticsSegmenter(path, trusted=True, how=CPU)


@pytest.mark.real
def test_an_export_of_a_detector_is_refused(real):
    with pytest.raises(UsageError, match="gives no masks"):
        UltralyticsSegmenter(real / "weights" / "yolo11n_640_person_int8.onnx")


def test_every_box_takes_the_person_whom_it_fits_best_and_none_is_taken_twice():
    people = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]], np.float32)
    wanted = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [80, 0, 90, 10]], np.float32)
    assert matched(wanted, people) == [1, 0, None]
    assert matched(wanted, people[:0]) == [None] * 3
    assert matched(wanted[:0], people) == []


@pytest.mark.parametrize("shape", [(120, 160), (33, 97), (300, 90), (640, 480), (160, 160)])
def test_a_planted_ellipse_comes_out_where_it_lies(shape):
    """Logits of a mask that are a smooth function of the place, on pictures of any aspect."""
    image = np.zeros((*shape, 3), np.uint8)
    _, scale, corner = letterbox(image, (160, 160))

    def inside(x, y):
        return 1 - ((x / shape[1] - 0.5) / 0.3) ** 2 - ((y / shape[0] - 0.6) / 0.35) ** 2

    place = (np.arange(40) + 0.5) * 4  # pixels of the network's input
    x, y = ((place - corner[axis]) / scale[axis] for axis in (0, 1))
    logits = inside(x[None], y[:, None]).astype(np.float32)
    columns, rows = (np.arange(side) + 0.5 for side in shape[::-1])
    truth = inside(columns[None], rows[:, None]) > 0
    found = at_image_size(logits, image, scale, corner)
    assert found.shape == shape
    edge = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9))) != cv2.erode(
        truth.astype(np.uint8), np.ones((9, 9))
    )
    assert (found == truth)[~edge].all()
    assert abs(found.mean() - truth.mean()) < 0.02
