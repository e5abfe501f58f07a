#include "tests/graph_builder.h"

#include "compress/error.h"
#include "compress/executor.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/random.h"

namespace niwaki {

GraphBuilder::GraphBuilder(int64_t opset) {
  graph_.header().ir_version = 8;
  graph_.header().opsets[""] = opset;
  graph_.header().opset_order = {""};
  graph_.edit_main().name = "test";
}

ValueId GraphBuilder::input(const std::string& name, Shape shape, DType dtype) {
  const ValueId id = graph_.add_value({.name = name, .dtype = dtype, .shape = std::move(shape)});
  graph_.edit_main().inputs.push_back(id);
  return id;
}

ValueId GraphBuilder::constant(const std::string& name, const Tensor& numbers) {
  return graph_.add_constant(name, make_constant(numbers));
}

ValueId GraphBuilder::random_constant(const std::string& name, std::vector<int64_t> sizes) {
  return constant(name, random_tensor(std::move(sizes), static_cast<uint64_t>(++count_)));
}

std::vector<ValueId> GraphBuilder::node_with_outputs(const std::string& op, std::vector<ValueId> inputs, size_t outputs,
                                                     std::map<std::string, Attribute> attributes, const std::string& name) {
  std::vector<ValueId> made;
  for (size_t i = 0; i < outputs; ++i) made.push_back(graph_.add_value({.name = graph_.fresh_name(cat(op, "_", ++count_))}));
  graph_.insert_before(std::nullopt, {.name = name, .op = op, .inputs = std::move(inputs), .outputs = made, .attributes = std::move(attributes)});
  return made;
}

ValueId GraphBuilder::node(const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes,
                           const std::string& name, const std::string& domain) {
  const ValueId made = node_with_outputs(op, std::move(inputs), 1, std::move(attributes), name).front();
  if (!domain.empty()) {
    graph_.set_operator(*graph_.producer(made), op, domain);
    graph_.header().opsets[domain] = 1;
  }
  return made;
}

void GraphBuilder::output(ValueId value, const std::string& name) {
  if (!name.empty()) graph_.rename_value(value, name);
  graph_.edit_main().outputs.push_back(value);
  graph_.index();
}

Graph GraphBuilder::graph() {
  Graph copy = graph_;
  infer_shapes(copy);
  return copy;
}

std::vector<Tensor> run_graph(const Graph& graph, const std::vector<Tensor>& inputs) {
  const RunValues given(inputs.begin(), inputs.end());
  std::vector<Tensor> outputs;
  for (RunValue& value : Executor(graph).run(given)) outputs.push_back(value.tensor);
  return outputs;
}

double relative_difference(const Tensor& got, const Tensor& want) {
  if (got.sizes() != want.sizes()) return std::numeric_limits<double>::infinity();
  if (want.numel() == 0) return 0;
  const double largest = want.to(at::kDouble).abs().max().item<double>();
  return (got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>() / std::max(largest, 1e-30);
}

Tensor random_tensor(std::vector<int64_t> sizes, uint64_t seed) {
  Tensor numbers = at::empty(sizes, at::kFloat);
  Generator generator(seed, "test");
  for (int64_t i = 0; i < numbers.numel(); ++i) numbers.mutable_data_ptr<float>()[i] = static_cast<float>(generator.normal());
  return numbers;
}

}  // namespace niwaki
