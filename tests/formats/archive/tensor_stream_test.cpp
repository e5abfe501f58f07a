#include "formats/archive/tensor_stream.h"

#include <cstring>

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

Bytes decoded(ByteView coded, size_t count) {
  Bytes payload(count);
  decode_tensor(coded, payload);
  return payload;
}

Bytes floats(size_t count, int num_values) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 0.1f);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = num_values > 0 ? 0.1f * static_cast<float>(static_cast<int>(random()) % num_values) : normal(random);
  Bytes bytes(count * 4);
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

TEST(TensorStream, GivesEveryKindBack) {
  const std::vector<std::pair<Bytes, ElementLayout>> payloads = {
      {normal_symbols(5000, 20), {.bits = 8, .columns = 50}},   {structured_mask(50, 100, 0.05, 128), {.bits = 8, .columns = 100}},
      {floats(3000, 0), {.bits = 32, .is_float = true}},        {floats(3000, 16), {.bits = 32, .is_float = true, .columns = 30}},
      {floats(3001, 0), {.bits = 64, .is_float = true}},        {normal_symbols(1001, 3), {.bits = 16}},
      {normal_symbols(2000, 3), {.bits = 16, .is_float = true}}, {normal_symbols(999, 2), {.bits = 4, .columns = 3}},
      {Bytes{}, {.bits = 32}},                                  {Bytes{1}, {.bits = 64}}};
  for (const auto& [payload, layout] : payloads) {
    for (const Codec codec : {Codec::automatic, Codec::zstd, Codec::rans}) {
      const Bytes coded = encode_tensor(payload, layout, codec);
      EXPECT_EQ(decoded(coded, payload.size()), payload) << kind_text(coded);
      EXPECT_LE(coded.size(), payload.size() + 2);
    }
  }
}

TEST(TensorStream, FindsPalettesAndPlanes) {
  const Bytes few = encode_tensor(floats(4096, 16), {.bits = 32, .is_float = true}, Codec::automatic);
  EXPECT_EQ(static_cast<TensorKind>(few[0]), TensorKind::palette);
  EXPECT_LT(few.size(), 4096u * 5 / 8 + 100);
  const Bytes many = encode_tensor(floats(4096, 0), {.bits = 32, .is_float = true}, Codec::automatic);
  EXPECT_EQ(static_cast<TensorKind>(many[0]), TensorKind::rotated_planes);
  EXPECT_LT(many.size(), 4096u * 4 * 9 / 10);
}

TEST(TensorStream, SurvivesEveryDamagedByte) {
  for (const Bytes& payload : {floats(200, 16), floats(200, 0)}) {
    const Bytes coded = encode_tensor(payload, {.bits = 32, .is_float = true, .columns = 10}, Codec::automatic);
    for (size_t i = 0; i < coded.size(); ++i) {
      Bytes wrong = coded;
      wrong[i] ^= static_cast<uint8_t>(1 << i % 8);
      const std::string code = code_of([&] { decoded(wrong, payload.size()); });
      EXPECT_TRUE(code.empty() || code == "E1804" || code == "E1805") << i << " " << code;
      EXPECT_NE(code_of([&] { decoded(ByteView(coded).first(i), payload.size()); }), "");
    }
  }
}

TEST(TensorStream, RefusesPalettesInPalettes) {
  EXPECT_EQ(code_of([] { decoded(Bytes{2, 4, 0, 1, 2, 0}, 4); }), "E1805");
  EXPECT_EQ(code_of([] { decoded(Bytes{5}, 4); }), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
