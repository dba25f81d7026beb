--- Images: PNG (libpng) and JPEG (libjpeg-turbo), to and from uint8 tensors of (channels, height, width).
-- I/O does not raise: nil, message, code ("EIO", "EFORMAT" for damaged files, "EUNSUP", "EMEM").
local tide = require "tide.core"
local with_options = require "tide.options"

local M = {}

--- Reads a PNG or a JPEG, by its first bytes. options.channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA (2 and 4: PNG only);
-- left out: as the file has them, palettes expanded. 16-bit samples are rounded to 8. Orientation and colour profiles are not
-- applied. Returns a uint8 tensor (channels, height, width), or nil, message, code. Images of more than 134217728 pixels, CMYK
-- and progressive JPEGs of more than 200 scans are refused. Errors: channels that are none of these.
function M.load(path, options)
  if type(path) ~= "string" then tide._fail("image.load: the path must be a string, not a " .. type(path)) end
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
  if type(path) ~= "string" then tide._fail("image.save: the path must be a string, not a " .. type(path)) end
  local kind = path:lower():match "%.(%w+)$"
  local jpeg = kind == "jpg" or kind == "jpeg"
  if not jpeg and kind ~= "png" then tide._fail("image.save: the path must end with .png, .jpg or .jpeg: " .. path) end
  options = with_options("image.save", options, "quality")
  if not tide.is_tensor(image) then tide._fail("image.save: expected a tensor, not a " .. type(image)) end
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

return M
