-- Convolutions and pooling over images (batch, channels, rows, columns). Volumes are made of them: lua/tide/nn/functional.
local outside = ", bias: tensor?, stride: pair = 1, padding: pair = 0, dilation: pair = 1, groups: int = 1, *, pad: enum(given|same|valid) = given"
local across = "input: tensor, weight: tensor, bias: tensor?, stride: pair = 1, padding: pair = 0, output_padding: pair = 0, groups: int = 1, dilation: pair = 1"
local window = "input: tensor, *, kernel: pair, stride: pair, padding: pair, size: pair, include: bool, divisor: int, adaptive: bool"
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
  { "conv_transpose2d", across, compose = true, lua = "nn.functional.conv_transpose2d",
    doc = "The transpose (gradient) of conv2d: weight (channels, out / groups, rows, columns), a result of (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1." },
  { "conv_transpose1d", across, compose = true, lua = "nn.functional.conv_transpose1d",
    doc = "The transpose (gradient) of conv1d; see conv_transpose2d. Of a pair the second counts." },
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
  { "avg_pool2d", "input: tensor, kernel_size: pair, stride: pair?, padding: pair = 0, ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: int?",
    compose = true, lua = "nn.functional.avg_pool2d",
    doc = "The mean of each window; zeros of the padding count unless count_include_pad is false; divisor_override divides the sum instead. stride: kernel_size by default." },
  { "adaptive_avg_pool2d", "input: tensor, output_size: pair", compose = true, lua = "nn.functional.adaptive_avg_pool2d",
    doc = "Means of output_size windows that cover the image evenly: window i reaches from floor(i n / m) up to ceil((i + 1) n / m)." },
  { "average", window, kernel = true, infer = "average_infer", vjp = true, saves_in = 0, internal = true, doc = "The means of windows, `size` of them." },
  { "average_back", window, kernel = true, infer = "average_infer", vjp = true, saves_in = 0, internal = true, doc = "The transpose of average, onto a plane of `size`." },
}
