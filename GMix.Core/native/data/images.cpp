// JPEG (libturbojpeg) and PNG (libpng's simplified interface) behind a C ABI for GMix.Data.ImageCodec.
//
// Every function returns 0 on success and a negative code on failure, with one line of text in err; no exception or longjmp leaves this
// file. Pixels are uint8 planes (R, G, B, each row-major): out[c * h * w + y * w + x]. Nothing is allocated for an image before its header
// has been held against the caps below, so a few hostile bytes cannot claim gigabytes.
#include <png.h>
#include <turbojpeg.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#define GMX_API extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kOk = 0;
constexpr int kBadImage = -1;
constexpr int kBadArgument = -2;
constexpr int kOutOfMemory = -3;

constexpr int kMaxSide = 16384;
// Photographs take 1 to 30 pixels a byte. Flat images take hundreds, which is granted to small ones: a megapixel is a few megabytes.
constexpr int64_t kPixelsPerByte = 256;
constexpr int64_t kFreePixels = 1 << 20;

__attribute__((format(printf, 4, 5)))
int fail(int code, char* err, int err_length, const char* format, ...) {
    if (err != nullptr && err_length > 0) {
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(err, static_cast<size_t>(err_length), format, arguments);
        va_end(arguments);
        for (char* c = err; *c != '\0'; ++c) {
            if (static_cast<unsigned char>(*c) < 32) *c = ' ';
        }
    }
    return code;
}

int check_size(size_t length, int64_t width, int64_t height, char* err, int err_length) {
    if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) {
        return fail(kBadImage, err, err_length, "the header claims %lld x %lld pixels; 1 to %d a side are accepted",
                    static_cast<long long>(width), static_cast<long long>(height), kMaxSide);
    }
    if (width * height > kFreePixels + kPixelsPerByte * static_cast<int64_t>(length)) {
        return fail(kBadImage, err, err_length, "the header claims %lld x %lld pixels, more than %zu bytes can hold",
                    static_cast<long long>(width), static_cast<long long>(height), length);
    }
    return kOk;
}

// One decompressor a thread: making one costs as much as decoding a small image. After a failure it has to be dropped:
// tjDecompressHeader3 (2.1) returns from an error inside a header without aborting, and the next image would be read as its continuation.
class Decompressor {
public:
    ~Decompressor() { drop(); }
    void drop() {
        if (handle_ != nullptr) tjDestroy(handle_);
        handle_ = nullptr;
    }
    tjhandle get() {
        if (handle_ == nullptr) handle_ = tjInitDecompress();
        return handle_;
    }

private:
    tjhandle handle_ = nullptr;
};

thread_local Decompressor decompressor;
thread_local std::vector<uint8_t> scratch;

// libjpeg warns of everything from stray bytes between markers (seen in published data sets) to missing data. Only these are harmless.
bool is_harmless(const char* text) {
    static const char* const harmless[] = {"extraneous bytes before marker", "Adobe color transform", "JFIF", "SOS parameters"};
    for (const char* part : harmless) {
        if (std::strstr(text, part) != nullptr) return true;
    }
    return false;
}

int jpeg_header(const uint8_t* data, size_t length, int* width, int* height, char* err, int err_length) {
    tjhandle handle = decompressor.get();
    if (handle == nullptr) return fail(kOutOfMemory, err, err_length, "no memory for a JPEG decoder");
    int subsampling = 0, colorspace = -1;
    // A stream of tables alone counts as success and sets none of these; so does one that ends inside its header, but for a warning.
    *width = *height = 0;
    int result = tjDecompressHeader3(handle, data, static_cast<unsigned long>(length), width, height, &subsampling, &colorspace);
    int code = kOk;
    if (colorspace < 0 || *width < 1 || *height < 1) {
        code = fail(kBadImage, err, err_length, "not a readable JPEG: %s", result != 0 ? tjGetErrorStr2(handle) : "it holds no image");
    } else if (colorspace == TJCS_CMYK || colorspace == TJCS_YCCK) {
        code = fail(kBadImage, err, err_length, "the JPEG has four-colour (CMYK) pixels; save it as RGB");
    } else {
        code = check_size(length, *width, *height, err, err_length);
    }
    if (code != kOk) decompressor.drop();
    return code;
}

void to_planes(const uint8_t* interleaved, int stride, uint8_t* planes, size_t pixels) {
    uint8_t* red = planes;
    uint8_t* green = planes + pixels;
    uint8_t* blue = planes + 2 * pixels;
    for (size_t i = 0; i < pixels; ++i, interleaved += stride) {
        red[i] = interleaved[0];
        green[i] = interleaved[1];
        blue[i] = interleaved[2];
    }
}

void to_interleaved(const uint8_t* planes, std::vector<uint8_t>& interleaved, size_t pixels) {
    interleaved.resize(3 * pixels);
    for (size_t i = 0; i < pixels; ++i) {
        for (size_t c = 0; c < 3; ++c) interleaved[3 * i + c] = planes[c * pixels + i];
    }
}

int png_failure(png_image& image, const char* what, char* err, int err_length) {
    int code = fail(kBadImage, err, err_length, "%s: %s", what, image.message);
    png_image_free(&image);
    return code;
}

int png_begin(png_image& image, const uint8_t* data, size_t length, char* err, int err_length) {
    std::memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&image, data, length)) return png_failure(image, "not a readable PNG", err, err_length);
    int code = check_size(length, image.width, image.height, err, err_length);
    if (code != kOk) png_image_free(&image);
    return code;
}

}  // namespace

// Reads width and height of a JPEG from its header.
GMX_API int gmx_jpeg_size(const uint8_t* data, size_t length, int* width, int* height, char* err, int err_length) {
    return jpeg_header(data, length, width, height, err, err_length);
}

// Decodes a JPEG of known size into 3 planes; grey images get three equal planes.
GMX_API int gmx_jpeg_decode(const uint8_t* data, size_t length, uint8_t* planes, int width, int height, char* err, int err_length) try {
    int w = 0, h = 0;
    int code = jpeg_header(data, length, &w, &h, err, err_length);
    if (code != kOk) return code;
    if (w != width || h != height) return fail(kBadArgument, err, err_length, "the JPEG is %d x %d, not %d x %d", w, h, width, height);
    const size_t pixels = static_cast<size_t>(w) * static_cast<size_t>(h);
    scratch.resize(3 * pixels);
    int flags = TJFLAG_ACCURATEDCT;
#ifdef TJFLAG_LIMITSCANS
    // A progressive JPEG of thousands of empty scans takes minutes to decode.
    flags |= TJFLAG_LIMITSCANS;
#endif
    tjhandle handle = decompressor.get();
    if (tjDecompress2(handle, data, static_cast<unsigned long>(length), scratch.data(), w, 0, h, TJPF_RGB, flags) != 0) {
        // The text is that of the last warning or of a fatal error. Where the last was harmless, a second decoding that stops at the first
        // one tells whether that was, too.
        bool harmless = is_harmless(tjGetErrorStr2(handle));
        if (harmless) {
            std::vector<uint8_t> again(3 * pixels);
            tjDecompress2(handle, data, static_cast<unsigned long>(length), again.data(), w, 0, h, TJPF_RGB, flags | TJFLAG_STOPONWARNING);
            harmless = is_harmless(tjGetErrorStr2(handle));
        }
        if (!harmless) code = fail(kBadImage, err, err_length, "damaged JPEG: %s", tjGetErrorStr2(handle));
        decompressor.drop();
        if (!harmless) return code;
    }
    to_planes(scratch.data(), 3, planes, pixels);
    if (scratch.capacity() > (size_t{8} << 20)) std::vector<uint8_t>().swap(scratch);
    return kOk;
} catch (const std::bad_alloc&) {
    return fail(kOutOfMemory, err, err_length, "no memory to decode the JPEG");
}

// Largest number of bytes that gmx_jpeg_encode can write.
GMX_API size_t gmx_jpeg_bound(int width, int height) { return tjBufSize(width, height, TJSAMP_444); }

// Encodes 1 (grey) or 3 planes as a baseline JPEG, 4:4:4, into out of at least gmx_jpeg_bound bytes.
GMX_API int gmx_jpeg_encode(const uint8_t* planes, int channels, int width, int height, int quality, uint8_t* out, size_t capacity,
                            size_t* written, char* err, int err_length) try {
    if ((channels != 1 && channels != 3) || width < 1 || height < 1 || width > kMaxSide || height > kMaxSide || quality < 1 || quality > 100 ||
        capacity < tjBufSize(width, height, TJSAMP_444)) {
        return fail(kBadArgument, err, err_length, "a JPEG wants 1 or 3 planes of 1 to %d pixels a side and quality 1 to 100", kMaxSide);
    }
    tjhandle handle = tjInitCompress();
    if (handle == nullptr) return fail(kOutOfMemory, err, err_length, "no memory for a JPEG encoder");
    std::vector<uint8_t> interleaved;
    const uint8_t* source = planes;
    if (channels == 3) {
        try {
            to_interleaved(planes, interleaved, static_cast<size_t>(width) * static_cast<size_t>(height));
        } catch (...) {
            tjDestroy(handle);
            throw;
        }
        source = interleaved.data();
    }
    unsigned long size = static_cast<unsigned long>(capacity);
    int result = tjCompress2(handle, source, width, 0, height, channels == 3 ? TJPF_RGB : TJPF_GRAY, &out, &size,
                             channels == 3 ? TJSAMP_444 : TJSAMP_GRAY, quality, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT);
    int code = result == 0 ? kOk : fail(kBadArgument, err, err_length, "cannot encode a JPEG: %s", tjGetErrorStr2(handle));
    tjDestroy(handle);
    *written = size;
    return code;
} catch (const std::bad_alloc&) {
    return fail(kOutOfMemory, err, err_length, "no memory to encode the JPEG");
}

// Reads width and height of a PNG from its header.
GMX_API int gmx_png_size(const uint8_t* data, size_t length, int* width, int* height, char* err, int err_length) {
    png_image image;
    int code = png_begin(image, data, length, err, err_length);
    if (code != kOk) return code;
    *width = static_cast<int>(image.width);
    *height = static_cast<int>(image.height);
    png_image_free(&image);
    return kOk;
}

// Decodes a PNG of known size into 3 planes; palettes and grey are expanded, 16 bits reduced to 8, transparency dropped.
GMX_API int gmx_png_decode(const uint8_t* data, size_t length, uint8_t* planes, int width, int height, char* err, int err_length) try {
    png_image image;
    int code = png_begin(image, data, length, err, err_length);
    if (code != kOk) return code;
    if (static_cast<int>(image.width) != width || static_cast<int>(image.height) != height) {
        code = fail(kBadArgument, err, err_length, "the PNG is %u x %u, not %d x %d", image.width, image.height, width, height);
        png_image_free(&image);
        return code;
    }
    const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
    try {
        scratch.resize(4 * pixels);
    } catch (...) {
        png_image_free(&image);
        throw;
    }
    // Alpha is read and dropped: composing on a background would invent colours.
    image.format = PNG_FORMAT_RGBA;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    if (!png_image_finish_read(&image, nullptr, scratch.data(), 0, nullptr)) return png_failure(image, "damaged PNG", err, err_length);
    to_planes(scratch.data(), 4, planes, pixels);
    if (scratch.capacity() > (size_t{8} << 20)) std::vector<uint8_t>().swap(scratch);
    return kOk;
} catch (const std::bad_alloc&) {
    return fail(kOutOfMemory, err, err_length, "no memory to decode the PNG");
}

// Encodes 1 (grey) or 3 planes as an 8-bit PNG. With out = nullptr only the size needed is returned in written.
GMX_API int gmx_png_encode(const uint8_t* planes, int channels, int width, int height, uint8_t* out, size_t capacity, size_t* written, char* err,
                           int err_length) try {
    if ((channels != 1 && channels != 3) || width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) {
        return fail(kBadArgument, err, err_length, "a PNG wants 1 or 3 planes of 1 to %d pixels a side", kMaxSide);
    }
    std::vector<uint8_t> interleaved;
    const uint8_t* source = planes;
    if (channels == 3) {
        to_interleaved(planes, interleaved, static_cast<size_t>(width) * static_cast<size_t>(height));
        source = interleaved.data();
    }
    png_image image;
    std::memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width);
    image.height = static_cast<png_uint_32>(height);
    image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    png_alloc_size_t size = capacity;
    if (!png_image_write_to_memory(&image, out, &size, 0, source, 0, nullptr)) return png_failure(image, "cannot encode a PNG", err, err_length);
    *written = size;
    return kOk;
} catch (const std::bad_alloc&) {
    return fail(kOutOfMemory, err, err_length, "no memory to encode the PNG");
}
