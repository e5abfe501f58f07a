#include "bindings/bind.h"
#include "compress/executor.h"
#include "compress/footprint.h"
#include "formats/format.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// {name, dtype, shape}: a size is a number, a name, or None.
py::dict describe(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  py::dict facts;
  facts["name"] = value.name;
  facts["dtype"] = name_of(value.dtype);
  facts["shape"] = py::none();
  if (!value.shape) return facts;
  py::list sizes;
  for (const Dim& dim : *value.shape) {
    if (const auto* size = std::get_if<int64_t>(&dim)) sizes.append(*size);
    else if (const auto* name = std::get_if<std::string>(&dim)) sizes.append(*name);
    else sizes.append(py::none());
  }
  facts["shape"] = sizes;
  return facts;
}

py::list inputs_of(const Graph& graph) {
  py::list inputs;
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id)) inputs.append(describe(graph, id));
  }
  return inputs;
}

py::list outputs_of(const Graph& graph) {
  py::list outputs;
  for (const ValueId id : graph.main().outputs) outputs.append(describe(graph, id));
  return outputs;
}

py::list nodes_of(const Graph& graph) {
  py::list nodes;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    nodes.append(py::make_tuple(graph.label(id), is_default_domain(node.domain) ? node.op : node.domain + "." + node.op));
  }
  return nodes;
}

Strings weight_names(const Graph& graph) {
  Strings names;
  for (const ValueId id : graph.main().constants) {
    if (const Constant* constant = graph.constant(id); constant && !constant->strings) names.push_back(graph.value(id).name);
  }
  return names;
}

py::object weight(const Graph& graph, const std::string& name) {
  const auto id = graph.find_value(name);
  const Constant* constant = id ? graph.constant(*id) : nullptr;
  if (!constant || constant->strings) throw py::key_error(name);
  return to_python(values(*constant));
}

RunValues run_values(const py::list& arrays) {
  RunValues inputs;
  for (const py::handle array : arrays) inputs.emplace_back(to_tensor(array));
  return inputs;
}

py::list run(const Executor& executor, const py::list& arrays) {
  const RunValues inputs = run_values(arrays);
  RunValues outputs;
  {
    const py::gil_scoped_release released;
    outputs = executor.run(inputs);
  }
  py::list results;
  for (const RunValue& output : outputs) {
    if (!output.tensor.defined()) throw UnsupportedError("E3102", "an output is no tensor");
    results.append(to_python(output.tensor));
  }
  return results;
}

py::tuple write(const Model& model, const std::string& path, bool overwrite) {
  if (!overwrite && py::module_::import("os").attr("path").attr("lexists")(path).cast<bool>()) {
    throw UsageError("E2009", cat("the output '", printable(path), "' exists"), {.help = "choose another name, or say overwrite=True"});
  }
  Written written;
  {
    const py::gil_scoped_release released;
    StagedModel staged(model.graph, path);
    written = staged.commit();
  }
  return py::make_tuple(written.path, written.sha256, written.file_bytes);
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<Model, std::shared_ptr<Model>>(module, "Model")
      .def_readonly("path", &Model::path)
      .def_readonly("format", &Model::format)
      .def_readonly("sha256", &Model::sha256)
      .def_readonly("file_bytes", &Model::file_bytes)
      .def_readonly("notes", &Model::notes)
      .def_property_readonly("inputs", [](const Model& model) { return inputs_of(model.graph); })
      .def_property_readonly("outputs", [](const Model& model) { return outputs_of(model.graph); })
      .def_property_readonly("nodes", [](const Model& model) { return nodes_of(model.graph); })
      .def_property_readonly("opset", [](const Model& model) { return model.graph.opset(); })
      .def_property_readonly("weight_names", [](const Model& model) { return weight_names(model.graph); })
      .def("weight", [](const Model& model, const std::string& name) { return weight(model.graph, name); })
      .def("footprint", [](const Model& model) { return text_of(to_json(measure_footprint(model.graph))); });
  py::class_<Executor, std::shared_ptr<Executor>>(module, "Executor")
      .def(py::init([](const Model& model) { return std::make_shared<Executor>(model.graph); }), py::keep_alive<1, 2>())
      .def("run", &run);
  module.def(
      "read_model",
      [](const std::string& path) {
        const py::gil_scoped_release released;
        return std::make_shared<Model>(read_model(path));
      },
      py::arg("path"));
  module.def("write_model", &write, py::arg("model"), py::arg("path"), py::arg("overwrite"));
}

}  // namespace niwaki
