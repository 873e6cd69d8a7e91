"""One token's way through Qwen2 on a graphics card, in five kernels a layer.

For one token every weight is read once, so what counts is that weights stream without a pause. A kernel
therefore does all that goes with its product (norm, rotation, activation, sum), and on cards that let a
kernel start before the one before it has ended (PDL, Hopper's programmatic dependent launch) it asks for
its first weights before it waits.

Rows are fp32. Weights W (rows, K) are halves, or 4 bits: byte j of a row holds column j in its lower
half and column j + K/2 in its upper, a scale serves GROUP columns, and the code 8 is zero. Names in
capitals are fixed when a kernel is compiled. Knows no modules and no tensors.
"""

# What triton.jit compiles is not typed, and takes one argument for each tensor and each length.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _loaded(weights, scales, rows, ok, first, K: tl.constexpr, BLOCK: tl.constexpr,
            GROUP: tl.constexpr):  # fmt: skip
    """What memory holds of columns `first` on and of those K/2 further: two tiles (rows, BLOCK), and the
    scales of each where there are."""
    HALF: tl.constexpr = K // 2
    j = first + tl.arange(0, BLOCK)
    there = ok[:, None] & (j < HALF)[None, :]
    if GROUP == 0:
        at = weights + rows[:, None] * K + j[None, :]
        low = tl.load(at, mask=there, other=0.0)
        high = tl.load(at + HALF, mask=there, other=0.0)
        return low, high, low, high
    else:  # the branch that is not taken is not compiled either, so it may divide by GROUP
        codes = tl.load(weights + rows[:, None] * HALF + j[None, :], mask=there, other=0)
        group = first // GROUP + tl.arange(0, BLOCK // GROUP)
        there = ok[:, None] & (group < HALF // GROUP)[None, :]
        at = scales + rows[:, None] * (K // GROUP) + group[None, :]
        low = tl.load(at, mask=there, other=0.0)
        high = tl.load(at + HALF // GROUP, mask=there, other=0.0)
        return codes, codes, low, high


@triton.jit
def _widened(tiles, GROUP: tl.constexpr):
    """The two tiles of `_loaded` in fp32."""
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
def _some(x, norm, first, K: tl.constexpr, BLOCK: tl.constexpr, NORM: tl.constexpr):
    """Columns `first` on of x and those K/2 further, (BLOCK,) each, times the norm's weight; zero where
    there are none."""
    j = first + tl.arange(0, BLOCK)
    there = j < K // 2
    low = tl.load(x + j, mask=there, other=0.0)
    high = tl.load(x + K // 2 + j, mask=there, other=0.0)
    if NORM:
        low *= tl.load(norm + j, mask=there, other=0.0).to(tl.float32)
        high *= tl.load(norm + K // 2 + j, mask=there, other=0.0).to(tl.float32)
    return low, high


@triton.jit
def _product(weights, scales, rows, ok, x, norm, epsilon, K: tl.constexpr, BLOCK: tl.constexpr,
             GROUP: tl.constexpr, NORM: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """W x (rows,), x first divided by its root mean square where NORM; after this, what the kernel
    before has written is there."""
    HALF: tl.constexpr = K // 2
    if PDL:
        gdc_launch_dependents()
    tiles = _loaded(weights, scales, rows, ok, 0, K, BLOCK, GROUP)
    if PDL:
        gdc_wait()
    low, high = _widened(tiles, GROUP)
    x_low, x_high = _some(x, norm, 0, K, BLOCK, NORM)
    sums = low * x_low[None, :] + high * x_high[None, :]
    for first in range(BLOCK, HALF, BLOCK):
        low, high = _widened(_loaded(weights, scales, rows, ok, first, K, BLOCK, GROUP), GROUP)
        x_low, x_high = _some(x, norm, first, K, BLOCK, NORM)
        sums += low * x_low[None, :] + high * x_high[None, :]
    product = tl.sum(sums, 1)
    if NORM:
        squares = tl.zeros((BLOCK,), tl.float32)
        for first in range(0, HALF, BLOCK):
            x_low, x_high = _some(x, norm, first, K, BLOCK, False)
            squares += x_low * x_low + x_high * x_high
        product *= tl.rsqrt(tl.sum(squares, 0) / K + epsilon)
    return product


@triton.jit
def _in_pairs(product, PAIRS: tl.constexpr):
    """The first and the second half of (2 PAIRS,)."""
    return tl.split(tl.trans(tl.reshape(product, (2, PAIRS))))


@triton.jit
def embed(x, table, token, WIDTH: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr):
    """The row of `token` (1,) becomes x."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()  # not sooner: `attend` reads what the last step left before it waits
    j = tl.arange(0, BLOCK)
    row = tl.load(table + tl.load(token) * WIDTH + j, mask=j < WIDTH, other=0.0)
    tl.store(x + j, row.to(tl.float32), mask=j < WIDTH)


@triton.jit
def attention_inputs(queries, cache, x, norm, epsilon, weights, scales, bias, cos, sin, place,
                     slots, HEADS: tl.constexpr, KEYS: tl.constexpr, SIZE: tl.constexpr,
                     K: tl.constexpr, BLOCK: tl.constexpr, PAIRS: tl.constexpr,
                     GROUP: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """The norm, then queries (HEADS * SIZE,), keys and values, turned by their place; keys and values
    go to its slot of the layer's cache (2 KEYS, slots, SIZE). cos, sin: (slots, SIZE / 2)."""
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
    turns = head < HEADS + KEYS
    here = tl.load(place)
    c = tl.load(cos + here * HALF + i, mask=turns, other=1.0)
    s = tl.load(sin + here * HALF + i, mask=turns, other=0.0)
    turned, other = first * c - second * s, second * c + first * s
    asks = head < HEADS
    tl.store(queries + head * SIZE + i, turned, mask=asks)
    tl.store(queries + head * SIZE + HALF + i, other, mask=asks)
    slot = cache + ((head - HEADS) * slots + here) * SIZE + i
    kept = inside & (head >= HEADS)
    tl.store(slot, turned.to(cache.dtype.element_ty), mask=kept)
    tl.store(slot + HALF, other.to(cache.dtype.element_ty), mask=kept)


@triton.jit
def _slots(cache, first, here, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Rows (BLOCK, SIZE) of a head's cache from slot `first` on; zero from `here` on."""
    s = first + tl.arange(0, BLOCK)
    d = tl.arange(0, SIZE)
    return tl.load(cache + s[:, None] * SIZE + d[None, :], mask=(s < here)[:, None], other=0.0)


@triton.jit
def _more(most, weight, taken, query, keys, values, first, here, BLOCK: tl.constexpr):
    """The running softmax (Milakov and Gimelshein 2018) with a block of slots more."""
    scores = tl.sum(keys.to(tl.float32) * query[None, :], 1)
    scores = tl.where(first + tl.arange(0, BLOCK) < here, scores, float("-inf"))
    more = tl.maximum(most, tl.max(scores, 0))
    shares, before = tl.exp(scores - more), tl.exp(most - more)
    taken = taken * before + tl.sum(shares[:, None] * values.to(tl.float32), 0)
    return more, weight * before + tl.sum(shares, 0), taken


@triton.jit
def attend(out, queries, cache, place, slots, scale, span, KEYS: tl.constexpr,
           SHARED: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr,
           PDL: tl.constexpr):  # fmt: skip
    """One query's head a program: what it takes from the slots up to `place`, within the first `span`."""
    if PDL:
        gdc_launch_dependents()
    head = tl.program_id(0)
    keys = cache + head // SHARED * slots * SIZE
    values = keys + KEYS * slots * SIZE
    # The slots before this one are of earlier steps, and so there already.
    here = tl.load(place)
    some_keys = _slots(keys, 0, here, SIZE, BLOCK)
    some_values = _slots(values, 0, here, SIZE, BLOCK)
    if PDL:
        gdc_wait()
    d = tl.arange(0, SIZE)
    query = tl.load(queries + head * SIZE + d) * scale
    most = tl.sum(tl.load(keys + here * SIZE + d).to(tl.float32) * query, 0)
    taken = tl.load(values + here * SIZE + d).to(tl.float32)
    most, weight, taken = _more(most, 1.0, taken, query, some_keys, some_values, 0, here, BLOCK)
    for first in range(BLOCK, span, BLOCK):
        some_keys = _slots(keys, first, here, SIZE, BLOCK)
        some_values = _slots(values, first, here, SIZE, BLOCK)
        most, weight, taken = _more(
            most, weight, taken, query, some_keys, some_values, first, here, BLOCK
        )
    tl.store(out + head * SIZE + d, taken / weight)


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
    """The norm, then silu(gate) * up, (INNER,); W holds the gate's rows and then up's."""
    both = tl.arange(0, 2 * PAIRS)
    inner = tl.program_id(0) * PAIRS + both % PAIRS
    rows = both // PAIRS * INNER + inner
    ok = inner < INNER
    product = _product(weights, scales, rows, ok, x, norm, epsilon, K, BLOCK, GROUP, True, PDL)
    gated, up = _in_pairs(product, PAIRS)
    at = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    tl.store(out + at, gated * tl.sigmoid(gated) * up, mask=at < INNER)


@triton.jit
def score_words(logits, best, which, x, norm, epsilon, weights, scales, WORDS: tl.constexpr,
                K: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr,
                KEEP: tl.constexpr, PDL: tl.constexpr):  # fmt: skip
    """The norm, then each word's logit, which is kept where KEEP; of each program's ROWS words the best
    logit and which it is."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = rows < WORDS
    product = _product(weights, scales, rows.to(tl.int64), ok, x, norm, epsilon, K, BLOCK, GROUP,
                       True, PDL)  # fmt: skip
    if KEEP:
        tl.store(logits + rows, product.to(logits.dtype.element_ty), mask=ok)
    product = tl.where(ok, product, float("-inf"))
    tl.store(best + tl.program_id(0), tl.max(product, 0))
    first = tl.program_id(0) * ROWS + tl.argmax(product, 0, tie_break_left=True)
    tl.store(which + tl.program_id(0), first)


@triton.jit
def take_best(token, place, written, best, which, count, BLOCK: tl.constexpr,
              PDL: tl.constexpr):  # fmt: skip
    """Of `count` programs' words the best becomes the token, at the next place."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    j = tl.arange(0, BLOCK)
    scores = tl.load(best + j, mask=j < count, other=float("-inf"))
    chosen = tl.load(which + tl.argmax(scores, 0, tie_break_left=True)).to(tl.int64)
    following = tl.load(place) + 1
    tl.store(token, chosen)
    tl.store(written + following, chosen)
    tl.store(place, following)


@triton.jit
def widen(out, weights, scales, rows, K: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
          GROUP: tl.constexpr):  # fmt: skip
    """W (rows, K) of 4 bits, in halves."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = row < rows
    for first in range(0, K // 2, BLOCK):
        low, high = _widened(_loaded(weights, scales, row, ok, first, K, BLOCK, GROUP), GROUP)
        j = first + tl.arange(0, BLOCK)
        at = out + row[:, None] * K + j[None, :]
        there = ok[:, None] & (j < K // 2)[None, :]
        tl.store(at, low.to(out.dtype.element_ty), mask=there)
        tl.store(at + K // 2, high.to(out.dtype.element_ty), mask=there)
