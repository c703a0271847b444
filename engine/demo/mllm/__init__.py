"""How the demo's multimodal language model was trained: CLIP ViT-B/16, a projector, SmolLM2-135M.

What was trained (projector and LoRA) ships in ``assets/demo/mllm``; ``engine.retrieval.fine.demo_model`` puts it together with
the towers of the embedded registry.
"""
