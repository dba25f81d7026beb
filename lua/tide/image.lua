--- Images: PNG (libpng) and JPEG (libjpeg-turbo), to and from uint8 tensors of (channels, height, width); other sizes.
-- I/O does not raise: nil, message, code ("EIO", "EFORMAT" for damaged files, "EUNSUP", "EMEM").
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"

local M = {}

--- Reads a PNG or a JPEG, by its first bytes. options.channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA (2 and 4: PNG only);
-- left out: as the file has them, palettes expanded. 16-bit samples are rounded to 8. Orientation and colour profiles are not
-- applied. Returns a uint8 tensor (channels, height, width), or nil, message, code. Images of more than 134217728 pixels, CMYK
-- and progressive JPEGs of more than 200 scans are refused. Errors: channels that are none of these.
function M.load(path, options)
  expect("path", "image.load", "path", path)
  local channels = with_options("image.load", options, "channels").channels or 0
  if channels ~= 0 and not (math.type(channels) == "integer" and channels >= 1 and channels <= 4) then
    tide._fail(("image.load: channels must be 1, 2, 3 or 4, not %s"):format(tostring(channels)))
  end
  return tide._load_image(path, channels)
end

--- Writes a uint8 tensor (channels, height, width), or (height, width) as grey, by the end of the path: ".png" (1 to 4
-- channels), ".jpg" or ".jpeg" (1 or 3; options.quality: 1 to 100, 75). The file at `path` is replaced when the new one is whole
-- and on the disk. Returns the bytes written, or nil, message, code. Errors: another dtype, shape or end of the path.
function M.save(path, image, options)
  expect("path", "image.save", "path", path)
  local kind = path:lower():match "%.(%w+)$"
  local jpeg = kind == "jpg" or kind == "jpeg"
  if not jpeg and kind ~= "png" then tide._fail("image.save: the path must end with .png, .jpg or .jpeg: " .. path) end
  options = with_options("image.save", options, "quality")
  expect("tensor", "image.save", "image", image)
  local shape = ("(%s)"):format(table.concat(image.shape, ","))
  if image.dtype ~= "uint8" then tide._fail(("image.save: expected uint8, not %s %s; (x * 255):round():to('uint8') for values in 0..1"):format(image.dtype, shape)) end
  if image.ndim == 2 then image = image:unsqueeze(1) end
  local most = jpeg and 3 or 4
  local fits = image.ndim == 3 and image.shape[1] >= 1 and image.shape[1] <= most and not (jpeg and image.shape[1] == 2)
  if not fits or image:numel() == 0 or image.shape[2] >= 1 << 31 or image.shape[3] >= 1 << 31 then
    tide._fail(("image.save: expected (channels, height, width) with %s channels, not %s"):format(jpeg and "1 or 3" or "1 to 4", shape))
  end
  local quality = options.quality or 75
  if math.type(quality) ~= "integer" or quality < 1 or quality > 100 then tide._fail("image.save: quality must be an integer from 1 to 100") end
  local size, message, code = tide._save_image(path, image, jpeg and quality or 0)
  if not size then return nil, message, code end
  return size
end

-- How much of each of `from` samples goes into each of `to`, float64 (to, from): a triangle around the place, which is as wide
-- as the step where the image shrinks, so that no sample is passed over. The centres of samples lie at 1/2, 3/2 ...
local function weights(from, to, antialias)
  local step = from / to
  local reach = antialias and math.max(step, 1.0) or 1.0
  local places = (tide.arange(to):double() + 0.5) * step - 0.5
  local w = (1.0 - (places:unsqueeze(2) - tide.arange(from):double()):abs() / reach):clamp(0.0)
  return w / w:sum(2, { keepdim = true })
end

--- The image (..., height, width) in another size, by bilinear interpolation. size: {height, width}, or an integer for the
-- shorter side, which keeps the proportions. options.antialias (true): where it shrinks, all samples count. As PyTorch's
-- interpolate(mode = "bilinear", align_corners = False, antialias = ...). uint8 stays uint8, rounded; floats stay what they
-- are and have a gradient. Errors: another dtype, fewer than 2 dims, no samples, sizes that are not positive.
function M.resize(image, size, options)
  expect("tensor", "image.resize", "image", image)
  expect("integer|table", "image.resize", "size", size)
  local antialias = with_options("image.resize", options, "antialias").antialias ~= false
  local n, shape = image.ndim, image.shape
  if n < 2 or image:numel() == 0 then tide._fail(("image.resize: expected (..., height, width), not (%s)"):format(table.concat(shape, ","))) end
  if image.dtype ~= "uint8" and not image.dtype:find "float" then tide._fail("image.resize: expected uint8 or floats, not " .. image.dtype) end
  local height, width = shape[n - 1], shape[n]
  if type(size) ~= "table" then
    local shorter = math.min(height, width)
    size = { math.max(height * size // shorter, size), math.max(width * size // shorter, size) }
  end
  for d = 1, 2 do
    if math.type(size[d]) ~= "integer" or size[d] < 1 or size[d] >= 1 << 31 then tide._fail("image.resize: size is {height, width}, both positive integers, or one integer") end
  end
  local x = (image.dtype == "float32" or image.dtype == "float64") and image or image:float()
  local rows, columns = weights(height, size[1], antialias):to(x.dtype), weights(width, size[2], antialias):to(x.dtype)
  local y = rows:matmul(x:matmul(columns.T))
  if image.dtype == "uint8" then y = y:round():clamp(0, 255) end
  return y:to(image.dtype)
end

return M
