#include <torch/csrc/autograd/python_variable.h>

#include "bindings/bind.h"
#include "compress/executor.h"
#include "compress/pipeline.h"
#include "compress/train/trainable.h"
#include "compress/train/weight_mask.h"
#include "formats/format.h"
#include "passes/all_passes.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// A model whose trainable constants are inputs: gradients then flow to whatever tensors the caller gives.
class Trainee {
 public:
  Trainee(const Model& model, const Strings& keep, const Strings& only) : model_(model) {
    const Pass expand = all_passes().make("expand_stored_forms");
    Progress progress;
    run(std::span(&expand, 1), model_.graph, {}, progress);
    require_matches(model_.graph, keep, "keep");
    require_matches(model_.graph, only, "only");
    const Graph& graph = model_.graph;
    trainable_ = trainable_constants(graph, {}, [&](NodeId id) { return is_selected(graph, id, keep, only); });
    if (trainable_.empty()) throw UnsupportedError("E3320", "the model has no constant that can be trained", {.help = "see keep and only; integer weights train before they are quantized"});
    masks_ = masks_of_zeros(graph, trainable_);
    open_ = graph;
    for (const ValueId id : trainable_) {
      open_.remove_constant(id);
      auto& inputs = open_.edit_main().inputs;
      std::erase(inputs, id);                // of old files, where a constant is an input too
      inputs.push_back(id);
    }
    open_.index();
    executor_.emplace(open_, ExecutorOptions{.trainable = trainable_});
  }

  Strings names() const {
    Strings names;
    for (const ValueId id : trainable_) names.push_back(model_.graph.value(id).name);
    return names;
  }
  py::list values() const {
    py::list tensors;
    for (const ValueId id : trainable_) tensors.append(to_python(model_.graph.constant(id)->storage.clone()));
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

  /// Inputs, then one tensor per name; what they record is kept.
  py::list forward(const py::list& tensors) const {
    RunValues inputs;
    for (const py::handle tensor : tensors) {
      if (!THPVariable_Check(tensor.ptr())) throw py::type_error("needed a torch.Tensor");
      inputs.emplace_back(THPVariable_Unpack(tensor.ptr()));
    }
    const bool records = at::GradMode::is_enabled();
    RunValues outputs;
    {
      const py::gil_scoped_release released;
      outputs = executor_->run(inputs);
    }
    py::list results;
    for (const RunValue& output : outputs) results.append(to_python(records ? output.tensor : output.tensor.detach()));
    return results;
  }

  std::shared_ptr<Model> with_values(const py::list& tensors) const {
    auto model = std::make_shared<Model>(model_);
    size_t i = 0;
    for (const ValueId id : trainable_) {
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
  Model model_;
  Graph open_;
  std::set<ValueId> trainable_;
  std::map<ValueId, Tensor> masks_;
  std::optional<Executor> executor_;
};

}  // namespace

void bind_nn(py::module_& module) {
  py::class_<Trainee, std::shared_ptr<Trainee>>(module, "Trainee")
      .def(py::init<const Model&, const Strings&, const Strings&>(), py::arg("model"), py::arg("keep"), py::arg("only"))
      .def_property_readonly("names", &Trainee::names)
      .def("values", &Trainee::values)
      .def("masks", &Trainee::masks)
      .def("forward", &Trainee::forward)
      .def("with_values", &Trainee::with_values);
}

}  // namespace niwaki
