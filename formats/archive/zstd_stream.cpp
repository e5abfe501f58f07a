#include "formats/archive/zstd_stream.h"

#include <zstd.h>

namespace niwaki::archive {

Bytes zstd_compress(ByteView bytes, int level) {
  Bytes out(ZSTD_compressBound(bytes.size()));
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level);
  if (ZSTD_isError(size)) throw EnvironmentError("E4002", cat("zstd: ", ZSTD_getErrorName(size)));
  out.resize(size);
  return out;
}

void zstd_decompress(ByteView frame, std::span<uint8_t> out) {
  // the frame's own size first: what follows then never needs more memory than `out`
  const auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR) refuse("E1805", "the archive is damaged: a zstd frame does not begin");
  if (size != out.size()) refuse("E1804", cat("the archive is damaged: a part has another size than the ", out.size(), " bytes announced"));
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) refuse("E1805", "the archive is damaged: a zstd frame does not end");
  const size_t done = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(done) || done != out.size()) refuse("E1805", "the archive is damaged: a zstd frame");
}

}  // namespace niwaki::archive
