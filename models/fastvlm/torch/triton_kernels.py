"""Triton kernels for one decoding step of Qwen2 on an NVIDIA GPU, five per layer.

For one token every weight is read once, so weights must stream without a pause. Each kernel
therefore does everything around its product (norm, rotation, activation, sum). On GPUs on which a
kernel can start before its predecessor has ended (PDL: Hopper's programmatic dependent launch), it
requests its first weights before it waits.

Rows are fp32. Weights W (rows, K) are fp16, or 4-bit: byte j of a row holds column j in its lower
four bits and column j + K/2 in its upper ones, one scale serves GROUP columns, and code 8 is zero.
Arguments in capitals are compile-time constants. Knows no modules and no tensors.
"""

# Functions for triton.jit are untyped, and take one argument for each tensor and each length.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _loaded(weights, scales, rows, ok, first, K: tl.constexpr, BLOCK: tl.constexpr,
            GROUP: tl.constexpr):  # fmt: skip
    """Two tiles (rows, BLOCK) of raw weights, of the columns from `first` on and from `first` + K/2
    on, and the scales of each tile if there are any."""
    HALF: tl.constexpr = K // 2
    j = first + tl.arange(0, BLOCK)
    inside = ok[:, None] & (j < HALF)[None, :]
    if GROUP == 0:
        at = weights + rows[:, None] * K + j[None, :]
        low = tl.load(at, mask=inside, other=0.0)
        high = tl.load(at + HALF, mask=inside, other=0.0)
        return low, high, low, high
    else:  # compiled only if it is taken, so it may divide by GROUP
        codes = tl.load(weights + rows[:, None] * HALF + j[None, :], mask=inside, other=0)
        group = first // GROUP + tl.arange(0, BLOCK // GROUP)
        inside = ok[:, None] & (group < HALF // GROUP)[None, :]
        at = scales + rows[:, None] * (K // GROUP) + group[None, :]
        low = tl.load(at, mask=inside, other=0.0)
        high = tl.load(at + HALF // GROUP, mask=inside, other=0.0)
        return codes, codes, low, high


@triton.jit
def _dequantized(tiles, GROUP: tl.constexpr):
    """The two tiles of `_loaded`, in fp32."""
    low, high, low_scales, high_scales = tiles
    if GROUP == 0:
        return low.to(tl.float32), high.to(tl.float32)
    else:
        low = _scaled((low & 15).to(tl.float32) - 8.0, low_scales, GROUP)
        return low, _scaled((high >> 4).to(tl.float32) - 8.0, high_scales, GROUP)


@triton.jit
def _scaled(tile, scales, GROUP: tl.constexpr):
    """(rows, columns) times scales (rows, columns / GROUP)."""
    grouped = tl.reshape(tile, (tile.shape[0], tile.shape[1] // GROUP, GROUP))
    return tl.reshape(grouped * scales.to(tl.float32)[:, :, None], tile.shape)


@triton.jit
def _x_columns(x, norm, first, K: tl.constexpr, BLOCK: tl.constexpr, NORM: tl.constexpr):
    """The columns of x from `first` on and from `first` + K/2 on, (BLOCK,) each, times the norm's
    weight; zero beyond the end."""
    j = first + tl.arange(0, BLOCK)
    inside = j < K // 2
    low = tl.load(x + j, mask=inside, other=0.0)
    high = tl.load(x + K // 2 + j, mask=inside, other=0.0)
    if NORM:
        low *= tl.load(norm + j, mask=inside, other=0.0).to(tl.float32)
        high *= tl.load(norm + K // 2 + j, mask=inside, other=0.0).to(tl.float32)
    return low, high


@triton.jit
def _product(weights, scales, rows, ok, x, norm, epsilon, K: tl.constexpr, BLOCK: tl.constexpr,
             GROUP: tl.constexpr, NORM: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """W x (rows,), with x RMS-normalized first if NORM. When it returns, the results of the
    previous kernel are visible."""
    HALF: tl.constexpr = K // 2
    if PDL:
        gdc_launch_dependents()
    tiles = _loaded(weights, scales, rows, ok, 0, K, BLOCK, GROUP)
    if PDL:
        gdc_wait()
    low, high = _dequantized(tiles, GROUP)
    x_low, x_high = _x_columns(x, norm, 0, K, BLOCK, NORM)
    sums = low * x_low[None, :] + high * x_high[None, :]
    for first in range(BLOCK, HALF, BLOCK):
        low, high = _dequantized(_loaded(weights, scales, rows, ok, first, K, BLOCK, GROUP), GROUP)
        x_low, x_high = _x_columns(x, norm, first, K, BLOCK, NORM)
        sums += low * x_low[None, :] + high * x_high[None, :]
    product = tl.sum(sums, 1)
    if NORM:
        squares = tl.zeros((BLOCK,), tl.float32)
        for first in range(0, HALF, BLOCK):
            x_low, x_high = _x_columns(x, norm, first, K, BLOCK, False)
            squares += x_low * x_low + x_high * x_high
        product *= tl.rsqrt(tl.sum(squares, 0) / K + epsilon)
    return product


@triton.jit
def _in_pairs(product, PAIRS: tl.constexpr):
    """The first and second half of (2 PAIRS,)."""
    return tl.split(tl.trans(tl.reshape(product, (2, PAIRS))))


@triton.jit
def embed(x, table, token, WIDTH: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr):
    """Copies the embedding of `token` (1,) to x."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()  # not sooner: `attend` reads the last step's cache before it waits
    j = tl.arange(0, BLOCK)
    row = tl.load(table + tl.load(token) * WIDTH + j, mask=j < WIDTH, other=0.0)
    tl.store(x + j, row.to(tl.float32), mask=j < WIDTH)


@triton.jit
def attention_inputs(queries, cache, x, norm, epsilon, weights, scales, bias, cos, sin, position,
                     slots, HEADS: tl.constexpr, KEYS: tl.constexpr, SIZE: tl.constexpr,
                     K: tl.constexpr, BLOCK: tl.constexpr, PAIRS: tl.constexpr,
                     GROUP: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """Norm, then queries (HEADS * SIZE,), keys and values, with rotary embedding. Keys and values
    are stored in the layer's cache (2 KEYS, slots, SIZE) at `position`. cos, sin: (slots, SIZE /
    2)."""
    HALF: tl.constexpr = SIZE // 2
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    both = tl.arange(0, 2 * PAIRS)
    of_both = tl.program_id(0) * PAIRS + both % PAIRS
    rows = of_both // HALF * SIZE + both // PAIRS * HALF + of_both % HALF
    ok = of_both < (HEADS + 2 * KEYS) * HALF
    product = _product(weights, scales, rows, ok, x, norm, epsilon, K, BLOCK, GROUP, True, PDL)
    product += tl.load(bias + rows, mask=ok, other=0.0).to(tl.float32)
    first, second = _in_pairs(product, PAIRS)
    head, i = pair // HALF, pair % HALF
    inside = head < HEADS + 2 * KEYS
    rotates = head < HEADS + KEYS  # queries and keys, but not values
    here = tl.load(position)
    c = tl.load(cos + here * HALF + i, mask=rotates, other=1.0)
    s = tl.load(sin + here * HALF + i, mask=rotates, other=0.0)
    rotated_first, rotated_second = first * c - second * s, second * c + first * s
    is_query = head < HEADS
    tl.store(queries + head * SIZE + i, rotated_first, mask=is_query)
    tl.store(queries + head * SIZE + HALF + i, rotated_second, mask=is_query)
    slot = cache + ((head - HEADS) * slots + here) * SIZE + i
    is_cached = inside & (head >= HEADS)
    tl.store(slot, rotated_first.to(cache.dtype.element_ty), mask=is_cached)
    tl.store(slot + HALF, rotated_second.to(cache.dtype.element_ty), mask=is_cached)


@triton.jit
def _slots(cache, first, here, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Rows (BLOCK, SIZE) of a head's cache from slot `first` on; zero from slot `here` on."""
    s = first + tl.arange(0, BLOCK)
    d = tl.arange(0, SIZE)
    return tl.load(cache + s[:, None] * SIZE + d[None, :], mask=(s < here)[:, None], other=0.0)


@triton.jit
def _add_block(largest, weight, sums, query, keys, values, first, here, BLOCK: tl.constexpr):
    """Adds a block of slots to the online softmax (Milakov and Gimelshein 2018)."""
    scores = tl.sum(keys.to(tl.float32) * query[None, :], 1)
    scores = tl.where(first + tl.arange(0, BLOCK) < here, scores, float("-inf"))
    maximum = tl.maximum(largest, tl.max(scores, 0))
    weights, correction = tl.exp(scores - maximum), tl.exp(largest - maximum)
    sums = sums * correction + tl.sum(weights[:, None] * values.to(tl.float32), 0)
    return maximum, weight * correction + tl.sum(weights, 0), sums


@triton.jit
def attend(out, queries, cache, position, slots, scale, span, KEYS: tl.constexpr,
           SHARED: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr,
           PDL: tl.constexpr):  # fmt: skip
    """Attention of one query head a program, over the slots up to `position`, within the first
    `span`."""
    if PDL:
        gdc_launch_dependents()
    head = tl.program_id(0)
    keys = cache + head // SHARED * slots * SIZE
    values = keys + KEYS * slots * SIZE
    # The earlier slots were written by earlier steps, so they can be read before the wait.
    here = tl.load(position)
    block_keys = _slots(keys, 0, here, SIZE, BLOCK)
    block_values = _slots(values, 0, here, SIZE, BLOCK)
    if PDL:
        gdc_wait()
    d = tl.arange(0, SIZE)
    query = tl.load(queries + head * SIZE + d) * scale
    largest = tl.sum(tl.load(keys + here * SIZE + d).to(tl.float32) * query, 0)
    sums = tl.load(values + here * SIZE + d).to(tl.float32)
    largest, weight, sums = _add_block(
        largest, 1.0, sums, query, block_keys, block_values, 0, here, BLOCK
    )
    for first in range(BLOCK, span, BLOCK):
        block_keys = _slots(keys, first, here, SIZE, BLOCK)
        block_values = _slots(values, first, here, SIZE, BLOCK)
        largest, weight, sums = _add_block(
            largest, weight, sums, query, block_keys, block_values, first, here, BLOCK
        )
    tl.store(out + head * SIZE + d, sums / weight)


@triton.jit
def add_product(x, inputs, weights, scales, WIDTH: tl.constexpr, K: tl.constexpr,
                BLOCK: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr,
                PDL: tl.constexpr):  # fmt: skip
    """x (WIDTH,) += W inputs (K,)."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = rows < WIDTH
    product = _product(weights, scales, rows, ok, inputs, inputs, 0.0, K, BLOCK, GROUP, False, PDL)
    tl.store(x + rows, tl.load(x + rows, mask=ok) + product, mask=ok)


@triton.jit
def gate(out, x, norm, epsilon, weights, scales, INNER: tl.constexpr, K: tl.constexpr,
         BLOCK: tl.constexpr, PAIRS: tl.constexpr, GROUP: tl.constexpr,
         PDL: tl.constexpr):  # fmt: skip
    """Norm, then silu(gate) * up, (INNER,). W holds the gate's rows, then those of up."""
    both = tl.arange(0, 2 * PAIRS)
    inner = tl.program_id(0) * PAIRS + both % PAIRS
    rows = both // PAIRS * INNER + inner
    ok = inner < INNER
    product = _product(weights, scales, rows, ok, x, norm, epsilon, K, BLOCK, GROUP, True, PDL)
    gated, up = _in_pairs(product, PAIRS)
    at = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    tl.store(out + at, gated * tl.sigmoid(gated) * up, mask=at < INNER)


@triton.jit
def score_tokens(logits, best, which, x, norm, epsilon, weights, scales, VOCABULARY: tl.constexpr,
                 K: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr,
                 KEEP: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """Norm, then the logit of each token, stored if KEEP. Each program gives the best logit of its
    ROWS tokens, and the token that has it."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = rows < VOCABULARY
    product = _product(weights, scales, rows.to(tl.int64), ok, x, norm, epsilon, K, BLOCK, GROUP,
                       True, PDL)  # fmt: skip
    if KEEP:
        tl.store(logits + rows, product.to(logits.dtype.element_ty), mask=ok)
    product = tl.where(ok, product, float("-inf"))
    tl.store(best + tl.program_id(0), tl.max(product, 0))
    first = tl.program_id(0) * ROWS + tl.argmax(product, 0, tie_break_left=True)
    tl.store(which + tl.program_id(0), first)


@triton.jit
def take_best(token, position, written, best, which, count, BLOCK: tl.constexpr,
              PDL: tl.constexpr):  # fmt: skip
    """Makes the best of `count` programs' tokens the token at the next position."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    j = tl.arange(0, BLOCK)
    scores = tl.load(best + j, mask=j < count, other=float("-inf"))
    chosen = tl.load(which + tl.argmax(scores, 0, tie_break_left=True)).to(tl.int64)
    following = tl.load(position) + 1
    tl.store(token, chosen)
    tl.store(written + following, chosen)
    tl.store(position, following)


@triton.jit
def dequantize(out, weights, scales, rows, K: tl.constexpr, BLOCK: tl.constexpr,
               ROWS: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    """The 4-bit W (rows, K), in the type of `out`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = row < rows
    for first in range(0, K // 2, BLOCK):
        low, high = _dequantized(_loaded(weights, scales, row, ok, first, K, BLOCK, GROUP), GROUP)
        j = first + tl.arange(0, BLOCK)
        at = out + row[:, None] * K + j[None, :]
        inside = ok[:, None] & (j < K // 2)[None, :]
        tl.store(at, low.to(out.dtype.element_ty), mask=inside)
        tl.store(at + K // 2, high.to(out.dtype.element_ty), mask=inside)
