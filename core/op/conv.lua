-- Convolutions and pooling over images (batch, channels, rows, columns).
local outside = ", bias: tensor?, stride: pair = 1, padding: pair = 0, dilation: pair = 1, groups: int = 1, *, pad: enum(given|same|valid) = given"
local inside = ", *, stride: pair, before: pair, after: pair, dilation: pair, groups: int, size: pair"
local pool = "input: tensor, kernel_size: pair, stride: pair?, padding: pair = 0, dilation: pair = 1, ceil_mode: bool = false"
local function max_pool(name, shown, doc)
  return { name, pool, kernel = true, infer = "max_pool_infer", vjp = "max_pool_vjp", saves_out = 2, outputs = 2, shown = shown, lua = "nn.functional." .. name, doc = doc }
end
return {
  { "conv2d", "input: tensor, weight: tensor" .. outside, compose = true, lua = "nn.functional.conv2d",
    doc = "Cross-correlation of (batch, channels, rows, columns), or without batch, with weight (out, channels / groups, rows, columns). pad: \"same\" keeps the size (the odd one of padding comes last), \"valid\" pads nothing." },
  { "conv1d", "input: tensor, weight: tensor" .. outside, compose = true, lua = "nn.functional.conv1d",
    doc = "Cross-correlation of (batch, channels, length), or without batch, with weight (out, channels / groups, length); see conv2d. Of a pair the second counts." },
  { "convolution", "input: tensor, weight: tensor, bias: tensor?" .. inside, kernel = true, infer = true, vjp = true, saves_in = 3, internal = true,
    doc = "conv2d with its padding worked out." },
  { "convolution_input", "input: tensor, weight: tensor" .. inside, kernel = true, infer = true, vjp = true, saves_in = 3, internal = true,
    doc = "The gradient of convolution's input, of `size`, from that of its result (input)." },
  { "convolution_weight", "input: tensor, other: tensor" .. inside, kernel = true, infer = true, vjp = true, saves_in = 3, internal = true,
    doc = "The gradient of convolution's weight, of `size`, from that of its result (input) and its input (other)." },
  max_pool("max_pool2d", 1, "The largest element of each window; NaN wins. The first of equals gets the gradient. stride: kernel_size by default."),
  max_pool("max_pool2d_with_indices", 2, "max_pool2d, and where each element was: its position in the plane, counted from 0."),
  { "max_pool2d_grad", "input: tensor, indices: tensor, *, size: pair", kernel = true, infer = true, vjp = true, saves_in = 2, internal = true,
    doc = "Adds each element of input to a plane of `size` at its position." },
}
