#include "formats/npy_header.h"

#include <charconv>

#include "compress/error.h"

namespace niwaki {
namespace {

struct Type {
  std::string_view descr;
  DType dtype;
};
constexpr Type kTypes[] = {
    {"|b1", DType::boolean},   {"|i1", DType::int8},       {"<i2", DType::int16},
    {"<i4", DType::int32},     {"<i8", DType::int64},      {"|u1", DType::uint8},
    {"<u2", DType::uint16},    {"<u4", DType::uint32},     {"<u8", DType::uint64},
    {"<f2", DType::float16},   {"<f4", DType::float32},    {"<f8", DType::float64},
    {"<c8", DType::complex64}, {"<c16", DType::complex128}};

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int64_t kMostStringBytes = int64_t{1} << 24;

/// Reads the dictionary that is the header: no Python, only what NumPy writes.
class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      read_value(key);
      if (accept(',')) continue;
      expect('}');
      break;
    }
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (text_.substr(at_) != "\n" && at_ != text_.size()) fail("something follows the dictionary");
    if (seen_ != 7) fail("'descr', 'fortran_order' and 'shape' are not all there");
    return header_;
  }

 private:
  void read_value(const std::string& key) {
    const unsigned bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
    if (bit == 0 || (seen_ & bit)) fail(cat("unknown or repeated key '", printable(key), "'"));
    seen_ |= bit;
    if (bit == 1) return read_type();
    if (bit == 4) return read_shape();
    skip_spaces();
    const bool yes = text_.substr(at_).starts_with("True");
    if (!yes && !text_.substr(at_).starts_with("False"))
      fail("'fortran_order' is neither True nor False");
    at_ += yes ? 4 : 5;
    header_.fortran_order = yes;
  }

  void read_type() {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] == '[') refuse_type("a structured type");
    const std::string descr = quoted();
    for (const Type& type : kTypes) {
      const bool marked =
          descr.size() == 3 && descr[2] == '1' && descr.substr(1) == type.descr.substr(1);
      if (descr != type.descr && !(marked && (descr[0] == '<' || descr[0] == '='))) continue;
      header_.dtype = type.dtype;
      header_.item_bytes = bits_of(type.dtype) / 8;
      return;
    }
    read_string_type(descr);
  }

  void read_string_type(const std::string& descr) {
    const bool utf32 = descr.starts_with("<U");
    if (!utf32 && !descr.starts_with("|S")) refuse_type(cat("'", printable(descr), "'"));
    int64_t length = 0;
    const auto [end, error] =
        std::from_chars(descr.data() + 2, descr.data() + descr.size(), length);
    const bool whole =
        error == std::errc() && end == descr.data() + descr.size() && descr[2] != '-';
    if (!whole || length < 1 || length > kMostStringBytes)
      refuse_type(cat("'", printable(descr), "'"));
    header_.dtype = DType::string;
    header_.utf32 = utf32;
    header_.item_bytes = utf32 ? 4 * length : length;
  }

  void read_shape() {
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      int64_t size = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) fail("a dimension is not a number");
      at_ += static_cast<size_t>(end - begin);
      header_.sizes.push_back(size);
      if (accept(',')) continue;
      if (header_.sizes.size() == 1) fail("a shape of one dimension needs a comma");
      expect(')');
      break;
    }
    if (header_.sizes.size() > 64) fail("it has more than 64 dimensions");
  }

  std::string quoted() {
    expect('\'');
    const size_t end = text_.find('\'', at_);
    if (end == text_.npos) fail("a quote is open at the end");
    const std::string value(text_.substr(at_, end - at_));
    if (value.find('\\') != value.npos) fail("an escape in a quoted word");
    at_ = end + 1;
    return value;
  }

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(char c) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(cat("needed '", c, "' at character ", at_));
  }
  [[noreturn]] void fail(const std::string& cause) const {
    throw ModelError("E1701", "the header of an .npy array is damaged",
                     {.where = name_,
                      .found = cat(cause, " in '", printable(text_, 120), "'"),
                      .help = "save the array again with `numpy.save` or `numpy.savez`"});
  }
  [[noreturn]] void refuse_type(const std::string& what) const {
    throw ModelError(
        "E1702", cat("an .npy array has the type ", what, ", which is not read"),
        {.where = name_,
         .found = "needed booleans, integers, floats or text, in little-endian order",
         .help = "convert it in Python, for example `array.astype('<f4')`, and save it again"});
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  unsigned seen_ = 0;
  NpyHeader header_;
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

[[noreturn]] void fail_start(const std::string& name, const char* found) {
  throw ModelError(
      "E1701", "this is not an .npy array",
      {.where = name, .found = found, .help = "save the array with `numpy.save` or `numpy.savez`"});
}

}  // namespace

NpyHeader parse_npy_header(std::string_view head, const std::string& name) {
  if (!head.starts_with(kMagic) || head.size() < 12)
    fail_start(name, "its first bytes are not those of NumPy");
  const int major = head[6], minor = head[7];
  if (major < 1 || major > 3 || minor != 0) fail_start(name, "its format version is unknown");
  const size_t width = major == 1 ? 2 : 4;
  const uint64_t length = little_endian(head.substr(8, width));
  if (length > kNpyHeaderBytes - 12) fail_start(name, "its header is impossibly long");
  if (head.size() < 8 + width + length) fail_start(name, "it is cut off within its header");
  NpyHeader header = Parser(head.substr(8 + width, length), name).parse();
  header.data_offset = 8 + width + length;
  return header;
}

std::string npy_header(const std::string& descr, const std::vector<int64_t>& sizes) {
  std::string shape;
  for (size_t i = 0; i < sizes.size(); ++i) shape += cat(i > 0 ? ", " : "", sizes[i]);
  if (sizes.size() == 1) shape += ",";
  std::string text =
      cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", shape, "), }");
  text.append(63 - (10 + text.size()) % 64, ' ');
  text += '\n';
  const char length[] = {static_cast<char>(text.size() & 0xff),
                         static_cast<char>(text.size() >> 8)};
  return std::string(kMagic) + std::string("\x01\x00", 2) + std::string(length, 2) + text;
}

std::string npy_descr(DType dtype) {
  for (const Type& type : kTypes) {
    if (type.dtype == dtype) return std::string(type.descr);
  }
  return "";
}

}  // namespace niwaki
