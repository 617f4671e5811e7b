"""Small depth networks with seeded weights, in folders as the library saves them."""

import transformers


def dpt():
    config = transformers.DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
    )
    processor = transformers.DPTImageProcessor(size={"height": 64, "width": 64})
    return transformers.DPTForDepthEstimation(config), processor


def dpt_hybrid():
    config = transformers.DPTConfig(
        is_hybrid=True,
        hidden_size=32,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        backbone_featmap_shape=[1, 1024, 4, 4],
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[256, 512, 16, 16],
        fusion_hidden_size=16,
        backbone_config=stages(),
    )
    processor = transformers.DPTImageProcessor(size={"height": 64, "width": 64})
    return transformers.DPTForDepthEstimation(config), processor


def dpt_dinov2():
    """As those tuned on NYU and KITTI are; it takes oblongs, too."""
    config = transformers.DPTConfig(
        backbone_config=small_dinov2(70),
        backbone_featmap_shape=None,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
    )
    processor = transformers.DPTImageProcessor(
        size={"height": 140, "width": 140}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return transformers.DPTForDepthEstimation(config), processor


def small_dinov2(side):
    return transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=side,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )


def stages():
    """A ResNet of three stages with one block each."""
    return {
        "model_type": "bit",
        "depths": [1, 1, 1],
        "out_features": ["stage1", "stage2", "stage3"],
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
    }


def depth_anything(kind="relative"):
    config = transformers.DepthAnythingConfig(
        backbone_config=small_dinov2(518),
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
    )
    processor = transformers.DPTImageProcessor(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return transformers.DepthAnythingForDepthEstimation(config), processor


def depth_anything_metric():
    return depth_anything("metric")


def zoedepth():
    backbone = transformers.BeitConfig(
        image_size=64,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone,
        backbone_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_relative_features=8,
        bin_embedding_dim=16,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )
    processor = transformers.ZoeDepthImageProcessor(
        size={"height": 64, "width": 96}, ensure_multiple_of=32
    )
    return transformers.ZoeDepthForDepthEstimation(config), processor


def depth_pro():
    trunk = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        use_mask_token=False,
    )
    config = transformers.DepthProConfig(
        image_model_config=trunk,
        patch_model_config=trunk,
        fov_model_config=trunk,
        patch_size=32,
        fusion_hidden_size=16,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2],
        scaled_images_feature_dims=[16, 16],
        num_fov_head_layers=0,
        use_fov_model=True,
    )
    processor = transformers.DepthProImageProcessor(size={"height": 64, "width": 64})
    return transformers.DepthProForDepthEstimation(config), processor
