#include "compress/train/fingerprint.h"

#include "compress/digest.h"
#include "compress/error.h"
#include "compress/graph_text.h"

#include <ATen/Version.h>

#include <bit>

namespace niwaki {
namespace {

class Digest {
 public:
  void add(const std::string& text) {
    const uint64_t size = text.size();       // so that no two lists of texts read alike
    sha_.update(std::as_bytes(std::span(&size, 1)));
    sha_.update(std::as_bytes(std::span(text)));
  }
  void add(const Tensor& tensor) {
    if (!tensor.defined()) return add("none");
    const Tensor numbers = tensor.contiguous();
    add(cat(static_cast<int>(numbers.scalar_type()), shape_text(numbers.sizes())));
    sha_.update({static_cast<const std::byte*>(numbers.const_data_ptr()), numbers.nbytes()});
  }
  std::string hex() { return sha_.hex(); }

 private:
  Sha256 sha_;
};

std::string options_text(const TrainerOptions& o) {
  std::string text = cat(static_cast<int>(o.optimizer), " ", o.epochs, " ", o.steps, " ", o.batch, " ", static_cast<int>(o.schedule), " ",
                         o.patience, " ", o.augment.flip, " ", o.augment.crop, " ", o.seed);
  for (const double number : {o.learning_rate, o.weight_decay, o.momentum, o.warm_up, o.clip, o.average, o.hold_out}) {
    text += cat(" ", std::bit_cast<uint64_t>(number));
  }
  return text;
}

}  // namespace

std::string training_fingerprint(const Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options) {
  Digest digest;
  digest.add(cat(NIWAKI_VERSION, " ", at::get_cpu_capability()));
  digest.add(text(graph));
  digest.add(options_text(options));
  digest.add(training.identity);
  for (const ValueId id : training.trainable) digest.add(graph.value(id).name);
  for (const ValueId id : training.watched) digest.add(graph.value(id).name);
  for (const auto& [id, mask] : training.masks) {
    digest.add(graph.value(id).name);
    digest.add(mask);
  }
  for (const auto& [id, codes] : training.shared) {
    digest.add(graph.value(id).name);
    digest.add(codes);
  }
  for (const auto& [id, weights] : training.behind) {
    digest.add(graph.value(id).name);
    digest.add(weights);
  }
  for (const NodeId id : training.batch_norms) digest.add(graph.label(id));
  for (const Tensor& extra : training.extra) digest.add(extra);
  digest.add(cat(data.num_samples(), " ", data.batch_size(), " ", data.is_batch_fixed(), " ", training.couples_samples));
  for (const int64_t index : {int64_t{0}, data.num_batches() / 2, data.num_batches() - 1}) {
    const Dataset::Batch batch = data.batch(index);
    for (const RunValue& value : batch.inputs) digest.add(value.tensor);
    digest.add(batch.labels);
  }
  return digest.hex();
}

}  // namespace niwaki
