"""Small configurations of transformers' own model classes, and random values for them."""

import torch

SHAPE = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96,
    "image_size": 32, "patch_size": 8, "num_labels": 5,
}  # fmt: skip
DINO = {**SHAPE, "mlp_ratio": 2}
MAE = {**SHAPE, "decoder_hidden_size": 24, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
BEIT = {**SHAPE, "use_relative_position_bias": True}
SWIN_HF = {
    "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "patch_size": 4, "image_size": 32,
    "num_labels": 5,
}  # fmt: skip
#: Class → (configuration, its values, which output is p2vit's).
HF_CLASSES = {
    "ViTForImageClassification": ("ViTConfig", SHAPE, "logits"),
    "ViTModel": ("ViTConfig", SHAPE, "class token"),
    "DeiTForImageClassification": ("DeiTConfig", SHAPE, "logits"),
    "DeiTForImageClassificationWithTeacher": ("DeiTConfig", SHAPE, "logits"),
    "Dinov2ForImageClassification": ("Dinov2Config", DINO, "logits"),
    "Dinov2Model": ("Dinov2Config", DINO, "class token"),
    "Dinov2WithRegistersForImageClassification": ("Dinov2WithRegistersConfig", DINO, "logits"),
    "Dinov2WithRegistersModel": ("Dinov2WithRegistersConfig", DINO, "class token"),
    "CLIPVisionModel": ("CLIPVisionConfig", SHAPE, "pooler_output"),
    "CLIPVisionModelWithProjection": ("CLIPVisionConfig", {**SHAPE, "projection_dim": 7}, "image_embeds"),
    "SiglipVisionModel": ("SiglipVisionConfig", SHAPE, "pooler_output"),
    "SwinForImageClassification": ("SwinConfig", SWIN_HF, "logits"),
    "SwinModel": ("SwinConfig", SWIN_HF, "pooler_output"),
    "DeiTModel": ("DeiTConfig", SHAPE, "class token"),
    "DINOv3ViTModel": ("DINOv3ViTConfig", {**SHAPE, "num_register_tokens": 2}, "pooler_output"),
    "SiglipForImageClassification": ("SiglipConfig", {"vision_config": SHAPE, "num_labels": 5}, "logits"),
    "Data2VecVisionModel": ("Data2VecVisionConfig", {**BEIT, "use_mean_pooling": False}, "class token"),
    "ViTMAEModel": ("ViTMAEConfig", SHAPE, "class token"),
    "ViTMAEForPreTraining": ("ViTMAEConfig", MAE, "class token"),
    "ViTMSNForImageClassification": ("ViTMSNConfig", SHAPE, "logits"),
    "ViTMSNModel": ("ViTMSNConfig", SHAPE, "class token"),
    "IJepaForImageClassification": ("IJepaConfig", SHAPE, "logits"),
    "IJepaModel": ("IJepaConfig", SHAPE, "mean"),
    "BeitForImageClassification": ("BeitConfig", BEIT, "logits"),
    "BeitModel": ("BeitConfig", {**BEIT, "use_mean_pooling": False}, "pooler_output"),
    "Data2VecVisionForImageClassification": ("Data2VecVisionConfig", BEIT, "logits"),
}


def shaken(model):
    """Random values everywhere, also where a library starts from zeros and ones, so that a swap would show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_((0.1 if value.ndim < 2 else 0.03) * torch.randn(value.shape, generator=generator))
    return model.eval()
