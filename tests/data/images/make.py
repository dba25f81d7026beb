# Made with Pillow 13 and NumPy: python make.py in this folder. Good images with their pixels as Pillow reads them
# (expected.json), and bad-* that must be refused.
import io, json, struct, zlib
import numpy as np
from PIL import Image

y, x = np.mgrid[0:12, 0:20]
rgb = np.stack([x * 12, y * 20, (x + y) * 8], -1).astype(np.uint8)
grey, alpha = rgb[..., 2], (255 - x * 10).astype(np.uint8)
expected = {}


def keep(name, image, mode=None, **options):
    image.save(name, **options)
    seen = Image.open(name)
    seen = np.asarray(seen.convert(mode) if mode else seen)
    seen = seen[None] if seen.ndim == 2 else seen.transpose(2, 0, 1)
    expected[name] = {"shape": seen.shape, "pixels": seen.astype(int).flatten().tolist()}


keep("grey.png", Image.fromarray(grey))
keep("rgb.png", Image.fromarray(rgb))
keep("rgba.png", Image.fromarray(np.dstack([rgb, alpha])))
keep("grey-alpha.png", Image.fromarray(np.dstack([grey, alpha]), "LA"))
palette = Image.fromarray(rgb).quantize(6)
keep("palette.png", palette, "RGB")
keep("palette-clear.png", palette, "RGBA", transparency=2)
keep("one-bit.png", Image.fromarray((x + y) % 3 == 0), "L")
Image.fromarray((x * 3000 + y * 7).astype(np.uint16)).save("sixteen.png")
v = (x * 3000 + y * 7).astype(np.int64)
expected["sixteen.png"] = {"shape": [1, 12, 20], "pixels": ((v * 255 + 32895) // 65536).flatten().tolist()}
keep("grey.jpg", Image.fromarray(grey))
keep("rgb.jpg", Image.fromarray(rgb), quality=90)
keep("progressive.jpg", Image.fromarray(rgb), progressive=True)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, kind, pixels, interlaced=0, before=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def put(name, data):
    open(name, "wb").write(data)


passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
rows = b"".join(b"\0" + rgb[r, x0::dx].tobytes() for x0, y0, dx, dy in passes for r in range(y0, 12, dy) if x0 < 20)
put("interlaced.png", png(20, 12, 8, 2, rows, 1))
expected["interlaced.png"] = {"shape": [3, 12, 20], "pixels": rgb.transpose(2, 0, 1).astype(int).flatten().tolist()}
plain = b"".join(b"\0" + grey[r].tobytes() for r in range(12))
put("long-text.png", png(20, 12, 8, 0, plain, before=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 24), 9))))
expected["long-text.png"] = expected["grey.png"]

good = open("rgb.png", "rb").read()
put("bad-cut.png", good[: len(good) // 2])
put("bad-sum.png", good[:60] + bytes([good[60] ^ 1]) + good[61:])
put("bad-huge.png", png(65535, 65535, 16, 6, bytes(100)))
put("bad-many-pixels.png", png(1 << 15, 1 << 13, 1, 0, bytes(100)))
put("bad-empty.png", png(0, 12, 8, 0, b""))
put("bad-palette.png", png(20, 12, 8, 3, plain))
put("bad-short.png", png(20, 12, 8, 0, plain[:100]))
put("bad-depth.png", png(20, 12, 3, 2, plain))
put("bad-claim.png", png(20, 12, 8, 0, plain, before=struct.pack(">I", 0x24000000) + b"sPLT" + bytes(30)))
put("bad-text.png", b"no image at all\n")
put("bad-nothing.png", b"")
jpeg = open("rgb.jpg", "rb").read()
put("bad-cut.jpg", jpeg[: len(jpeg) * 3 // 4])
at = jpeg.index(b"\xff\xc0")
put("bad-huge.jpg", jpeg[: at + 5] + struct.pack(">HH", 65500, 65500) + jpeg[at + 9 :])
put("bad-large.jpg", jpeg[: at + 5] + struct.pack(">HH", 5000, 5000) + jpeg[at + 9 :])
put("bad-tables.jpg", jpeg[:2] + jpeg[at:])
put("bad-noise.jpg", b"\xff\xd8\xff" + bytes(range(256)) * 4)
several = open("progressive.jpg", "rb").read()
at = several.rindex(b"\xff\xda")
put("bad-scans.jpg", several[:-2] + several[at:-2] * 300 + b"\xff\xd9")
Image.fromarray(np.dstack([rgb, alpha])[:8, :8], "CMYK").save("bad-cmyk.jpg")
json.dump(expected, open("expected.json", "w"), separators=(",", ":"))
