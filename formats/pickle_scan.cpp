#include "formats/pickle_scan.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "compress/error.h"

namespace niwaki {
namespace {

/// What follows an opcode: so many bytes, a length of so many bytes with that many behind it, or
/// lines.
struct Argument {
  int fixed = -1, counted = 0, lines = 0;
};

constexpr std::array<Argument, 256> make_arguments() {
  std::array<Argument, 256> table{};
  const auto set = [&](std::string_view opcodes, Argument argument) {
    for (char c : opcodes) table[static_cast<unsigned char>(c)] = argument;
  };
  set("(.012QNRbd}ael])tsuo\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98", {.fixed = 0});
  set("FILSVPgp", {.fixed = 0, .lines = 1});
  set("ci", {.fixed = 0, .lines = 2});
  set("Khq\x80\x82", {.fixed = 1});
  set("M\x83", {.fixed = 2});
  set("Jjr\x84", {.fixed = 4});
  set("G\x95", {.fixed = 8});
  set("UC\x8c\x8a", {.fixed = 0, .counted = 1});
  set("TXB\x8b", {.fixed = 0, .counted = 4});
  set("\x8d\x8e\x96", {.fixed = 0, .counted = 8});
  return table;
}
constexpr std::array<Argument, 256> kArguments = make_arguments();

class Scan {
 public:
  Scan(std::string_view bytes, size_t& at, const Limits& limits, const std::string& name)
      : bytes_(bytes), at_(at), limits_(limits), name_(name) {}

  std::vector<PickleGlobal> run() {
    for (uint64_t opcodes = 0;; ++opcodes) {
      if (opcodes == limits_.pickle_opcodes) fail("E1004", "exceeds the limit 'pickle_opcodes'");
      start_ = at_;
      const char opcode = take(1)[0];
      const Argument argument = kArguments[static_cast<unsigned char>(opcode)];
      if (argument.fixed < 0) fail("E1504", "has an unknown opcode");
      read_argument(opcode, argument);
      if (opcode == '.') return std::move(globals_);
    }
  }

 private:
  void read_argument(char opcode, const Argument& argument) {
    take(static_cast<uint64_t>(argument.fixed));
    if (argument.counted > 0) {
      const std::string_view count = take(static_cast<uint64_t>(argument.counted));
      uint64_t length = 0;
      for (size_t i = count.size(); i-- > 0;)
        length = length << 8 | static_cast<unsigned char>(count[i]);
      const std::string_view text = take(length);
      if (opcode == 'X' || opcode == '\x8c' || opcode == '\x8d') remember(text);
    }
    const std::string_view first = argument.lines > 0 ? line() : std::string_view();
    const std::string_view second = argument.lines > 1 ? line() : std::string_view();
    if (opcode == 'V') remember(first);
    if (argument.lines > 1) globals_.push_back({std::string(first), std::string(second), start_});
    if (opcode == '\x93')
      globals_.push_back({std::string(texts_[0]), std::string(texts_[1]), start_});
    // extension codes stand for globals that only the reading program knows
    if (opcode >= '\x82' && opcode <= '\x84') globals_.push_back({"copyreg", "extension", start_});
  }

  void remember(std::string_view text) {
    texts_[0] = texts_[1];
    texts_[1] = text;
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("E1503", "is cut off");
    const std::string_view piece = bytes_.substr(at_, count);
    at_ += count;
    return piece;
  }

  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == bytes_.npos) fail("E1503", "is cut off");
    const std::string_view text = take(end - at_);
    take(1);
    return text;
  }

  [[noreturn]] void fail(const char* code, const char* cause) const {
    throw ModelError(code, cat("the pickle in this file ", cause),
                     {.where = cat(name_, ", byte ", start_),
                      .help = "copy the file again; if it is the same, do not trust it"});
  }

  std::string_view bytes_;
  size_t& at_;
  const Limits& limits_;
  const std::string& name_;
  size_t start_ = 0;
  std::array<std::string_view, 2> texts_;
  std::vector<PickleGlobal> globals_;
};

}  // namespace

std::vector<PickleGlobal> scan_pickle(std::string_view bytes, size_t& at, const Limits& limits,
                                      const std::string& name) {
  return Scan(bytes, at, limits, name).run();
}

bool is_tensor_global(const PickleGlobal& global) {
  const auto is = [&](std::string_view module, std::string_view name) {
    return global.module == module && global.name == name;
  };
  const bool storage = (global.module == "torch" || global.module == "torch.storage") &&
                       std::string_view(global.name).ends_with("Storage");
  const bool jit = global.module == "torch.jit._pickle" &&
                   (global.name == "restore_type_tag" ||
                    (global.name.starts_with("build_") && global.name.ends_with("list")));
  return storage || jit || is("torch._utils", "_rebuild_tensor_v2") ||
         is("torch._utils", "_rebuild_tensor") || is("torch._utils", "_rebuild_parameter") ||
         is("collections", "OrderedDict") || global.module == "__torch__" ||
         global.module.starts_with("__torch__.");
}

}  // namespace niwaki
