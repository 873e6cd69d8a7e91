"""The file names and precisions of an exported ONNX model, shared by its writer and its runtime."""

MODEL = "model.onnx"
# precision -> (whether the arithmetic is in fp16, else fp32; bits of quantized matrices). int4 is
# q4f16 for a CPU, which has no fast fp16.
PRECISIONS: dict[str, tuple[bool, int | None]] = {
    "fp32": (False, None),
    "fp16": (True, None),
    "int8": (False, 8),
    "int4": (False, 4),
    "q4f16": (True, 4),
}
