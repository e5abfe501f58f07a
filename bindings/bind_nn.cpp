#include <torch/csrc/autograd/python_variable.h>

#include "bindings/bind.h"
#include "compress/batch_norm.h"
#include "compress/executor.h"
#include "compress/pipeline.h"
#include "compress/train/batch_statistics.h"
#include "compress/train/trainable.h"
#include "compress/train/weight_mask.h"
#include "formats/format.h"
#include "passes/all_passes.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// A model whose trainable constants are inputs: gradients then flow to whatever tensors the caller gives. So are the means and
/// variances of batch norms where those follow the data.
class Trainee {
 public:
  Trainee(const Model& model, const Strings& keep, const Strings& only, bool follows_data) : model_(model) {
    const Pass expand = all_passes().make("expand_stored_forms");
    Progress progress;
    run(std::span(&expand, 1), model_.graph, {}, progress);
    require_matches(model_.graph, keep, "keep");
    require_matches(model_.graph, only, "only");
    Graph& graph = model_.graph;
    if (follows_data) find_norms(keep, only);
    trainable_ = trainable_constants(graph, {}, [&](NodeId id) { return is_selected(graph, id, keep, only); });
    if (trainable_.empty()) throw UnsupportedError("E3320", "the model has no constant that can be trained", {.help = "see keep and only; integer weights train before they are quantized"});
    masks_ = masks_of_zeros(graph, trainable_);
    open_ = graph;
    for (const ValueId id : opened()) {
      open_.remove_constant(id);
      auto& inputs = open_.edit_main().inputs;
      std::erase(inputs, id);                // of old files, where a constant is an input too
      inputs.push_back(id);
    }
    open_.index();
    batch_ = with_batch_statistics(open_, norms_);
    executor_.emplace(open_, ExecutorOptions{.trainable = trainable_});
    batch_executor_.emplace(batch_, ExecutorOptions{.trainable = trainable_});
  }

  Strings names() const {
    Strings names;
    for (const ValueId id : trainable_) names.push_back(model_.graph.value(id).name);
    return names;
  }
  /// Means and variances, norm by norm.
  Strings statistic_names() const {
    Strings names;
    for (const ValueId id : statistics_) names.push_back(model_.graph.value(id).name);
    return names;
  }
  std::vector<double> momenta() const {
    std::vector<double> momenta;             // as ONNX has them: what stays of the old statistics
    for (const NodeId id : norms_) momenta.push_back(float_attribute(model_.graph.node(id), "momentum", 0.9f));
    return momenta;
  }
  /// Of the trainable constants, then the statistics.
  py::list values() const {
    py::list tensors;
    for (const ValueId id : opened()) tensors.append(to_python(model_.graph.constant(id)->storage.clone()));
    return tensors;
  }
  /// bool, true = keep; None where every number may change.
  py::list masks() const {
    py::list masks;
    for (const ValueId id : trainable_) {
      const auto found = masks_.find(id);
      masks.append(found == masks_.end() ? py::object(py::none()) : to_python(found->second));
    }
    return masks;
  }

  /// Inputs, then one tensor per name and statistic; what they record is kept. With the statistics of the batch: also the mean,
  /// the variance and the count of what each norm read.
  py::tuple forward(const py::list& tensors, bool by_batch) const {
    RunValues inputs;
    for (const py::handle tensor : tensors) {
      if (!THPVariable_Check(tensor.ptr())) throw py::type_error("needed a torch.Tensor");
      inputs.emplace_back(THPVariable_Unpack(tensor.ptr()));
    }
    const bool records = at::GradMode::is_enabled();
    RunValues outputs;
    std::vector<ChannelSums> sums(norms_.size());
    {
      const py::gil_scoped_release released;
      outputs = by_batch ? batch_executor_->run(inputs, [&](ValueId id, const Tensor& x) { observe(id, x, sums); }) : executor_->run(inputs);
    }
    py::list results;
    for (const RunValue& output : outputs) results.append(to_python(records ? output.tensor : output.tensor.detach()));
    py::list read;
    for (const ChannelSums& one : sums) {
      if (by_batch && one.count > 0) read.append(py::make_tuple(to_python(one.mean().to(at::kFloat)), to_python(one.variance().to(at::kFloat)), one.count));
      else read.append(py::none());
    }
    return py::make_tuple(results, read);
  }

  std::shared_ptr<Model> with_values(const py::list& tensors) const {
    auto model = std::make_shared<Model>(model_);
    size_t i = 0;
    for (const ValueId id : opened()) {
      const Tensor tensor = to_tensor(tensors[i++]).to(at::kCPU, at::kFloat).contiguous().clone();
      Constant constant = *model->graph.constant(id);
      if (tensor.sizes().vec() != constant.sizes) {
        throw UsageError("E3322", cat("parameter '", printable(model->graph.value(id).name), "' has shape ", shape_text(tensor.sizes())), {.found = cat("needed ", shape_text(constant.sizes))});
      }
      constant.storage = tensor;
      constant.sparse = nullptr;
      model->graph.set_constant(id, std::move(constant));
    }
    return model;
  }

 private:
  void find_norms(const Strings& keep, const Strings& only) {
    const Graph& graph = model_.graph;
    for (const NodeId id : graph.main().nodes) {
      if (!is_batch_norm(graph.node(id)) || !is_selected(graph, id, keep, only) || !why_statistics_stay(graph, id).empty()) continue;
      const auto& inputs = graph.node(id).inputs;
      const bool is_single = graph.constant(inputs[kMeanInput])->dtype == DType::float32 && graph.constant(inputs[kVarianceInput])->dtype == DType::float32;
      if (is_single) norms_.push_back(id);
    }
    separate_statistics(model_.graph, norms_);
    for (const NodeId id : norms_) statistics_.insert(statistics_.end(), {graph.node(id).inputs[kMeanInput], graph.node(id).inputs[kVarianceInput]});
  }
  std::vector<ValueId> opened() const {
    std::vector<ValueId> ids(trainable_.begin(), trainable_.end());
    ids.insert(ids.end(), statistics_.begin(), statistics_.end());
    return ids;
  }
  void observe(ValueId id, const Tensor& x, std::vector<ChannelSums>& sums) const {
    for (size_t k = 0; k < norms_.size(); ++k) {
      if (batch_.node(norms_[k]).inputs[0] == id) sums[k] = channel_sums(x.detach(), at::zeros({x.size(1)}, at::kDouble));
    }
  }

  Model model_;
  Graph open_, batch_;                       // batch_: batch norms use the statistics of the batch
  std::vector<NodeId> norms_;
  std::vector<ValueId> statistics_;
  std::set<ValueId> trainable_;
  std::map<ValueId, Tensor> masks_;
  std::optional<Executor> executor_, batch_executor_;
};

}  // namespace

void bind_nn(py::module_& module) {
  py::class_<Trainee, std::shared_ptr<Trainee>>(module, "Trainee")
      .def(py::init<const Model&, const Strings&, const Strings&, bool>(), py::arg("model"), py::arg("keep"), py::arg("only"), py::arg("follows_data"))
      .def_property_readonly("statistic_names", &Trainee::statistic_names)
      .def_property_readonly("momenta", &Trainee::momenta)
      .def_property_readonly("names", &Trainee::names)
      .def("values", &Trainee::values)
      .def("masks", &Trainee::masks)
      .def("forward", &Trainee::forward)
      .def("with_values", &Trainee::with_values);
}

}  // namespace niwaki
