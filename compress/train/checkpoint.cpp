#include "compress/train/checkpoint.h"

#include "compress/atomic_file.h"
#include "compress/digest.h"
#include "compress/error.h"
#include "compress/json.h"
#include "compress/mapped_file.h"
#include "compress/train/process_group.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cstring>
#include <filesystem>

namespace niwaki {
namespace {

// magic, bytes of the header (8), header (JSON), tensors, SHA-256 over all before (64)
constexpr std::string_view kMagic = "niwaki training state 2\n";
constexpr size_t kDigestBytes = 64;

std::vector<const std::vector<Tensor>*> lists_of(const TrainState& state) {
  return {&state.weights, &state.average, &state.best, &state.masks, &state.behind, &state.moments.first, &state.moments.second};
}

std::span<const std::byte> bytes_of(const Tensor& tensor) { return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}; }

/// Infinity and NaN have no place in JSON, and every bit counts.
Json bits_of_numbers(const std::vector<double>& numbers) {
  Json bits = Json::array();
  for (const double number : numbers) bits.push_back(std::bit_cast<uint64_t>(number));
  return bits;
}

std::vector<double> numbers_of_bits(const Json& bits) {
  std::vector<double> numbers;
  for (const auto& one : bits) numbers.push_back(std::bit_cast<double>(one.get<uint64_t>()));
  return numbers;
}

Json header_of(const std::string& fingerprint, const TrainState& state) {
  Json lists = Json::array();
  for (const auto* list : lists_of(state)) {
    Json tensors = Json::array();
    for (const Tensor& tensor : *list) {
      tensors.push_back({{"dtype", static_cast<int32_t>(dtype_of(tensor.scalar_type()))}, {"sizes", tensor.sizes().vec()}});
    }
    lists.push_back(tensors);
  }
  return {{"fingerprint", fingerprint},
          {"step", state.step},
          {"restarts", state.restarts},
          {"best_epoch", state.best_epoch},
          {"bad_epochs", state.bad_epochs},
          {"is_done", state.is_done},
          {"numbers", bits_of_numbers({state.rate_share, state.loss_sum, state.loss_weight, state.validation_before, state.best_loss})},
          {"history", bits_of_numbers(state.history)},
          {"updates", state.moments.updates},
          {"tensors", lists}};
}

/// Takes bytes from the front of a file in memory.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> take(size_t count) {
    if (count > bytes_.size()) throw std::out_of_range("the file is cut off");
    const auto front = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return front;
  }
  bool is_at_end() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
};

std::vector<Tensor> read_tensors(const Json& list, Cursor& cursor) {
  std::vector<Tensor> tensors;
  for (const auto& one : list) {
    Tensor tensor = at::empty(one.at("sizes").get<std::vector<int64_t>>(), scalar_type(static_cast<DType>(one.at("dtype").get<int32_t>())));
    const auto bytes = cursor.take(tensor.nbytes());
    std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

TrainState read_state(const Json& header, Cursor& cursor) {
  TrainState state;
  state.step = header.at("step").get<int64_t>();
  state.restarts = header.at("restarts").get<int64_t>();
  state.best_epoch = header.at("best_epoch").get<int64_t>();
  state.bad_epochs = header.at("bad_epochs").get<int64_t>();
  state.is_done = header.at("is_done").get<bool>();
  const std::vector<double> numbers = numbers_of_bits(header.at("numbers"));
  state.rate_share = numbers.at(0);
  state.loss_sum = numbers.at(1);
  state.loss_weight = numbers.at(2);
  state.validation_before = numbers.at(3);
  state.best_loss = numbers.at(4);
  state.history = numbers_of_bits(header.at("history"));
  state.moments.updates = header.at("updates").get<std::vector<int64_t>>();
  const Json& lists = header.at("tensors");
  state.weights = read_tensors(lists.at(0), cursor);
  state.average = read_tensors(lists.at(1), cursor);
  state.best = read_tensors(lists.at(2), cursor);
  state.masks = read_tensors(lists.at(3), cursor);
  state.behind = read_tensors(lists.at(4), cursor);
  state.moments.first = read_tensors(lists.at(5), cursor);
  state.moments.second = read_tensors(lists.at(6), cursor);
  return state;
}

std::vector<Tensor> clones(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  for (const Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

std::string read_all(const std::string& path) {
  const FileReader file(path);
  std::string bytes(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

}  // namespace

TrainState copy_of(const TrainState& state) {
  TrainState copy = state;                   // `best` and masks are replaced as a whole, never changed
  copy.weights = clones(state.weights);
  copy.average = clones(state.average);
  copy.behind = clones(state.behind);
  copy.moments.first = clones(state.moments.first);
  copy.moments.second = clones(state.moments.second);
  return copy;
}

void save_checkpoint(const std::string& path, const std::string& fingerprint, const TrainState& state) {
  AtomicFile file(path);
  Sha256 digest;
  const auto put = [&](std::span<const std::byte> bytes) {
    digest.update(bytes);
    file.write(bytes);
  };
  const std::string header = header_of(fingerprint, state).dump();
  const uint64_t size = header.size();
  put(std::as_bytes(std::span(kMagic)));
  put(std::as_bytes(std::span(&size, 1)));
  put(std::as_bytes(std::span(header)));
  for (const auto* list : lists_of(state)) {
    for (const Tensor& tensor : *list) put(bytes_of(tensor.contiguous()));
  }
  file.write(digest.hex());
  file.commit();
}

std::optional<TrainState> load_checkpoint(const std::string& path, const std::string& fingerprint, std::string& why, const ProcessGroup* group) {
  std::string bytes;
  std::error_code error;
  bool is_there = !path.empty() && std::filesystem::exists(path, error);
  if (is_there) bytes = read_all(path);
  if (group != nullptr) {
    bytes = group->broadcast(bytes);
    is_there = !bytes.empty();
  }
  if (!is_there) return std::nullopt;
  const auto all = std::as_bytes(std::span(bytes));
  const auto ignored = [&](const char* reason) {
    why = cat("the checkpoint '", printable(path), "' is ", reason, "; training starts anew");
    return std::nullopt;
  };
  try {
    if (all.size() < kMagic.size() + sizeof(uint64_t) + kDigestBytes) return ignored("cut off");
    const std::span<const std::byte> content = all.first(all.size() - kDigestBytes), end = all.last(kDigestBytes);
    if (std::memcmp(content.data(), kMagic.data(), kMagic.size()) != 0) return ignored("no checkpoint of this version");
    const std::string digest = sha256(content);
    if (std::memcmp(end.data(), digest.data(), kDigestBytes) != 0) return ignored("damaged");
    Cursor cursor(content.subspan(kMagic.size()));
    uint64_t size = 0;
    std::memcpy(&size, cursor.take(sizeof size).data(), sizeof size);
    const auto text = cursor.take(size);
    const Json header = Json::parse(reinterpret_cast<const char*>(text.data()), reinterpret_cast<const char*>(text.data()) + text.size());
    if (header.at("fingerprint").get<std::string>() != fingerprint) return ignored("of another model, other data or other options");
    TrainState state = read_state(header, cursor);
    if (!cursor.is_at_end()) return ignored("damaged");
    return state;
  } catch (const nlohmann::json::exception&) {
    return ignored("damaged");
  } catch (const std::out_of_range&) {
    return ignored("damaged");
  }
}

}  // namespace niwaki
