#include "formats/archive/pack.h"

#include "compress/digest.h"
#include "compress/mapped_file.h"
#include "compress/parallel.h"
#include "formats/archive/hole_finder.h"
#include "formats/archive/unpack.h"
#include "formats/external_path.h"
#include "formats/onnx_vet.h"

#include <algorithm>
#include <map>

namespace niwaki::archive {
namespace {

constexpr uint64_t kLeastPayload = 64;       // smaller ones cost more than they save
constexpr uint64_t kPlaceBytes = 12;         // about what a stream costs in the index
constexpr uint64_t kLeastZstd = uint64_t{256} << 10;   // below, zstd does better on all of them together
constexpr uint64_t kMostTwice = uint64_t{8} << 20;     // files that are also tried in one piece

ByteView view_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}; }

/// The model and its side files, as if they were one run of bytes.
struct Original {
  std::shared_ptr<const MappedFile> model;
  std::vector<std::shared_ptr<const MappedFile>> sides;
  std::vector<SideFile> side_files;
  uint64_t size = 0;
  std::map<std::string, uint64_t> begin_of;  // by location; "": the model

  ByteView file(const std::string& location) const {
    if (location.empty()) return view_of(model->bytes());
    for (size_t i = 0; i < sides.size(); ++i) {
      if (side_files[i].name == location) return view_of(sides[i]->bytes());
    }
    throw InternalError("a tensor without its file");
  }
  std::vector<ByteView> files() const {
    std::vector<ByteView> all = {view_of(model->bytes())};
    for (const auto& side : sides) all.push_back(view_of(side->bytes()));
    return all;
  }
};

/// A payload at its place in the whole.
struct Payload {
  uint64_t offset = 0;
  ByteView bytes;
  ElementLayout layout;
  std::string name;
  size_t part = 0;                           // equal payloads have the same
};

Original open_original(const std::string& path, const std::vector<Hole>& holes, std::shared_ptr<const MappedFile> model, const ReadOptions& options) {
  Original original{.model = std::move(model)};
  original.begin_of[""] = 0;
  original.size = original.model->bytes().size();
  std::map<std::string, std::string> wanted; // location -> tensor, sorted
  for (const Hole& hole : holes) {
    if (!hole.location.empty()) wanted.emplace(hole.location, hole.name);
  }
  for (const auto& [location, tensor] : wanted) {
    if (location.find('/') != std::string::npos) {
      throw UnsupportedError("E1805", cat("external data in a folder of their own cannot be packed: '", printable(location), "'"),
                             {.help = "put the model and its data side by side first: `niwaki convert IN -o OUT.onnx --cleanup none`"});
    }
    const PathPolicy policy{.allow_symlinks = options.allow_symlinks, .allow_hardlinks = options.allow_hardlinks};
    const int descriptor = open_external(path, location, policy, cat("tensor '", printable(tensor), "'"));
    original.sides.push_back(MappedFile::from_descriptor(descriptor, external_display_path(path, location)));
    original.begin_of[location] = original.size;
    original.side_files.push_back({.name = location, .bytes = original.sides.back()->bytes().size()});
    original.size += original.side_files.back().bytes;
  }
  return original;
}

/// Payloads in the order of the file; those that overlap an earlier one or leave their file stay outside.
std::vector<Payload> payloads_of(const std::vector<Hole>& holes, const Original& original) {
  std::vector<Payload> payloads;
  for (const Hole& hole : holes) {
    const ByteView file = original.file(hole.location);
    if (hole.bytes < kLeastPayload || hole.offset > file.size() || hole.bytes > file.size() - hole.offset) continue;
    payloads.push_back({original.begin_of.at(hole.location) + hole.offset, file.subspan(hole.offset, hole.bytes), hole.layout, hole.name});
  }
  std::ranges::stable_sort(payloads, {}, &Payload::offset);
  uint64_t end = 0;
  std::erase_if(payloads, [&](const Payload& payload) {
    if (payload.offset < end) return true;
    end = payload.offset + payload.bytes.size();
    return false;
  });
  return payloads;
}

/// Numbers equal payloads alike; the first of each is returned.
std::vector<size_t> number_parts(std::vector<Payload>& payloads) {
  std::vector<size_t> firsts;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < payloads.size(); ++i) {
    const auto [entry, is_new] = known.emplace(sha256(std::as_bytes(payloads[i].bytes)), firsts.size());
    if (is_new) firsts.push_back(i);
    payloads[i].part = entry->second;
  }
  return firsts;
}

bool pays(const Bytes& coded, uint64_t bytes) {
  if (coded.size() + kPlaceBytes >= bytes) return false;
  const bool is_zstd = coded[0] == static_cast<uint8_t>(TensorKind::bytes) && coded[1] == static_cast<uint8_t>(SymbolKind::zstd);
  return !is_zstd || bytes >= kLeastZstd;
}

Bytes outside(const Original& original, const std::vector<Placement>& placements, const std::vector<Stream>& streams) {
  Bytes all;
  uint64_t begin = 0;
  size_t next = 0;
  for (const ByteView file : original.files()) {
    uint64_t at = 0;
    for (; next < placements.size() && placements[next].offset < begin + file.size(); ++next) {
      put_bytes(all, file.subspan(at, placements[next].offset - begin - at));
      at = placements[next].offset - begin + streams[placements[next].stream].bytes;
    }
    put_bytes(all, file.subspan(at));
    begin += file.size();
  }
  return all;
}

/// The archive where the parts with `is_coded` have streams of their own.
Packed assemble(const Original& original, const std::string& digest, const std::vector<Payload>& payloads, const std::vector<size_t>& firsts,
                const std::vector<Bytes>& coded, const std::vector<bool>& is_coded) {
  Contents contents{.sha256 = digest, .model_bytes = original.model->bytes().size(), .side_files = original.side_files, .streams = {Stream{}}};
  Packed packed{.original_bytes = original.size};
  std::vector<uint32_t> stream_of(firsts.size(), 0);
  for (size_t part = 0; part < firsts.size(); ++part) {
    if (!is_coded[part]) continue;
    const Payload& payload = payloads[firsts[part]];
    stream_of[part] = static_cast<uint32_t>(contents.streams.size());
    contents.streams.push_back({.bytes = payload.bytes.size(), .coded = coded[part]});
    packed.tensors.push_back({.name = payload.name, .kind = kind_text(coded[part]), .bytes = payload.bytes.size(), .coded_bytes = coded[part].size(),
                              .floor_bytes = entropy_floor(payload.bytes, payload.layout)});
  }
  for (const Payload& payload : payloads) {
    if (is_coded[payload.part]) contents.placements.push_back({.offset = payload.offset, .stream = stream_of[payload.part]});
  }
  const Bytes rest = outside(original, contents.placements, contents.streams);
  const Bytes coded_rest = encode_tensor(rest, {}, Codec::zstd);
  contents.streams[0] = {.bytes = rest.size(), .coded = coded_rest};
  packed.archive = write_container(contents);
  packed.graph_bytes = rest.size();
  packed.graph_coded_bytes = coded_rest.size();
  packed.index_bytes = packed.archive.size() - coded_rest.size();
  for (const PackedTensor& tensor : packed.tensors) packed.index_bytes -= tensor.coded_bytes;
  return packed;
}

void require_same(const Original& original, const Packed& packed) {
  Limits limits;
  limits.inflated_bytes = original.size;
  const Unpacked again = unpack_bytes(packed.archive, limits);
  uint64_t at = 0;
  for (const ByteView file : original.files()) {
    if (again.original.size() - at < file.size() || !std::equal(file.begin(), file.end(), again.original.begin() + at)) throw InternalError("the archive does not give the model back");
    at += file.size();
  }
}

}  // namespace

Codec codec_named(const std::string& name) {
  if (name == "auto") return Codec::automatic;
  if (name == "zstd") return Codec::zstd;
  if (name == "rans") return Codec::rans;
  throw UsageError("E2005", cat("unknown codec '", printable(name), "'"), {.help = "use auto, zstd or rans"});
}

Packed pack_model(const std::string& path, const PackOptions& options) {
  auto model = MappedFile::open(path);
  vet_onnx(model->bytes(), options.read.limits, path);
  const std::vector<Hole> holes = find_holes(model->bytes());
  const Original original = open_original(path, holes, std::move(model), options.read);
  std::vector<Payload> payloads = payloads_of(holes, original);
  const std::vector<size_t> firsts = number_parts(payloads);
  std::vector<Bytes> coded(firsts.size());
  parallel_for(static_cast<int64_t>(firsts.size()), [&](int64_t i) {
    const Payload& payload = payloads[firsts[i]];
    coded[i] = encode_tensor(payload.bytes, payload.layout, options.codec);
  });
  std::vector<bool> is_coded(firsts.size());
  for (size_t i = 0; i < firsts.size(); ++i) is_coded[i] = pays(coded[i], payloads[firsts[i]].bytes.size());
  Sha256 digest;
  for (const ByteView file : original.files()) digest.update(std::as_bytes(file));
  const std::string hex = digest.hex();
  Packed packed = assemble(original, hex, payloads, firsts, coded, is_coded);
  if (options.codec != Codec::rans && original.size <= kMostTwice) {
    Packed whole = assemble(original, hex, payloads, firsts, coded, std::vector<bool>(firsts.size()));
    if (whole.archive.size() < packed.archive.size()) packed = std::move(whole);
  }
  original.model->require_unchanged();
  for (const auto& side : original.sides) side->require_unchanged();
  require_same(original, packed);
  return packed;
}

}  // namespace niwaki::archive
