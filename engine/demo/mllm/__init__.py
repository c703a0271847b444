"""The demo's multimodal language model: CLIP ViT-B/16, a projector, SmolLM2-135M; assembled, trained, shipped, put together.

It is an ordinary ``transformers`` image-text-to-text checkpoint, so exactly the code that drives Qwen2.5-VL drives it. What
was trained here (projector and LoRA) ships in ``assets/demo/mllm``; the towers come from the embedded registry.
"""
