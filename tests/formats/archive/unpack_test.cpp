#include "formats/archive/unpack.h"

#include "formats/archive/pack.h"
#include "tests/formats/archive/archive_models.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki::archive {
namespace {

class Unpack : public TemporaryFolder {
 protected:
  Bytes archive_of(const std::string& model, Codec codec = Codec::automatic) { return pack_model(put("m.onnx", model), {.codec = codec}).archive; }
  static std::string refusal(ByteView bytes) {
    return code_of([&] { unpack_bytes(bytes, {}); });
  }
};

TEST_F(Unpack, RefusesEveryCut) {
  const Bytes archive = archive_of(sample_model());
  for (size_t size = 0; size < archive.size(); ++size) ASSERT_EQ(refusal(ByteView(archive).first(size)).substr(0, 3), "E18") << size;
}

TEST_F(Unpack, RefusesEveryFlippedBit) {
  const Bytes archive = archive_of(sample_model());
  for (size_t bit = 0; bit < 8 * archive.size(); ++bit) {
    Bytes wrong = archive;
    wrong[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_EQ(refusal(wrong).substr(0, 3), "E18") << bit;
  }
}

/// Behind right checksums: damage of the streams themselves never crashes; what still decodes is the same model, by its digest.
TEST_F(Unpack, RefusesDamagedStreamsBehindRightChecksums) {
  const Bytes archive = archive_of(sample_model(), Codec::rans);
  const Contents contents = read_container(archive, {});
  for (size_t s = 0; s < contents.streams.size(); ++s) {
    const Bytes coded(contents.streams[s].coded.begin(), contents.streams[s].coded.end());
    for (size_t i = 0; i < coded.size(); ++i) {
      Bytes wrong = coded;
      wrong[i] ^= static_cast<uint8_t>(1 << (i * 7 + s) % 8);
      Contents changed = contents;
      changed.streams[s].coded = wrong;
      const std::string code = refusal(write_container(changed));
      ASSERT_TRUE(code.empty() || code == "E1803" || code == "E1804" || code == "E1805") << s << " " << i << " " << code;
    }
  }
}

TEST_F(Unpack, NeedsNoMoreMemoryThanTheLimitsAllow) {
  const Bytes archive = archive_of(sample_model());
  Contents contents = read_container(archive, {});
  contents.model_bytes = uint64_t{1} << 45;
  contents.streams[0].bytes += contents.model_bytes;
  EXPECT_EQ(refusal(write_container(contents)), "E1004");
}

}  // namespace
}  // namespace niwaki::archive
