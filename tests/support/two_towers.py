"""Small CLIP and SigLIP models of transformers with random weights, and a tokenizer of a few words, in folders."""

from pathlib import Path

import torch

WORDS = ["a", "photo", "of", "cat", "dog", "car", "tree", "house", "drawing", "this", "is"]
SIDE, LENGTH, EMBEDDING = 32, 12, 24
CLASSES = ("cat", "dog", "car", "tree", "house")


def save_two_towers(kind: str, folder: Path, seed: int = 0) -> None:
    """Write a model, its image processor and its tokenizer, as ``save_pretrained`` does.

    Args:
        kind: ``clip`` or ``siglip``.
        folder: Where to.
        seed: Random seed of the weights.
    """
    import transformers

    torch.manual_seed(seed)
    siglip = kind == "siglip"
    text = {
        "vocab_size": len(WORDS) + 3,
        "hidden_size": 32 if siglip else 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": LENGTH,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2 + len(WORDS),
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        **({} if siglip else {"projection_dim": EMBEDDING}),
    }
    if siglip:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        model.logit_scale.data.fill_(2.0)
        model.logit_bias.data.fill_(-1.5)
        processor = transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    else:
        model = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBEDDING)
        )
        processor = transformers.CLIPImageProcessor(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        )
    with torch.no_grad():  # random weights of the usual sizes make all photos nearly alike
        for name, value in model.named_parameters():
            if value.ndim == 2:
                value.mul_(6.0 if "projection" in name or "fc" in name else 3.0)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer(bos=not siglip).save_pretrained(folder)


def tokenizer(bos: bool):
    """Words to numbers, with the marks that CLIP's text tower needs."""
    import tokenizers
    import transformers

    vocabulary = {"<pad>": 0, "<bos>": 1, **{word: 2 + index for index, word in enumerate(WORDS)}}
    end = len(vocabulary)
    vocabulary["<eos>"] = end
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<pad>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A <eos>" if bos else "$A <eos>", special_tokens=[("<bos>", 1), ("<eos>", end)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<pad>",
        # SigLIP's own tokenizer makes no mask: its text tower reads the padding too.
        model_input_names=["input_ids", "attention_mask"] if bos else ["input_ids"],
    )
