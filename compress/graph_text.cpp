#include "compress/graph_text.h"

#include "compress/digest.h"
#include "compress/error.h"

#include <sstream>

namespace niwaki {
namespace {

std::string digest_of(const Constant& constant) {
  if (!constant.strings) return sha256(raw_bytes(constant)).substr(0, 16);
  std::string joined;
  for (const std::string& text : *constant.strings) joined += cat(text.size(), ":", text);
  return sha256(std::as_bytes(std::span(joined))).substr(0, 16);
}

std::string constant_text(const Constant& constant) {
  return cat(name_of(constant.dtype), " ", shape_text(constant.sizes), " ", digest_of(constant));
}

std::string type_text(const Value& value) {
  std::string line = name_of(value.dtype);
  if (!value.shape) return line;
  std::vector<std::string> dims;
  for (const Dim& dim : *value.shape) {
    if (const auto* size = std::get_if<int64_t>(&dim)) dims.push_back(cat(*size));
    else if (const auto* symbol = std::get_if<std::string>(&dim)) dims.push_back(printable(*symbol));
    else dims.push_back("?");
  }
  return cat(line, " ", shape_text(dims));
}

struct AttributeText {
  std::string operator()(int64_t number) const { return cat(number); }
  std::string operator()(float number) const { return cat(number); }
  std::string operator()(const std::string& text) const { return cat("'", printable(text), "'"); }
  std::string operator()(const Constant& constant) const { return constant_text(constant); }
  std::string operator()(const Opaque& opaque) const { return cat("opaque ", opaque.bytes.size(), " bytes"); }
  template <typename List>
  std::string operator()(const List& list) const { return shape_text(list); }
};

std::string names_text(const Graph& graph, const std::vector<ValueId>& ids) {
  std::string line;
  for (size_t i = 0; i < ids.size(); ++i) {
    line += cat(i ? ", " : "", ids[i] == ValueId::absent ? "_" : printable(graph.value(ids[i]).name));
  }
  return line;
}

void write_body(const Graph& graph, const Body& body, const std::string& indent, std::ostringstream& out);

void write_node(const Graph& graph, const Node& node, const std::string& indent, std::ostringstream& out) {
  out << indent << names_text(graph, node.outputs) << " = " << (is_default_domain(node.domain) ? "" : node.domain + ".") << node.op
      << "(" << names_text(graph, node.inputs) << ")";
  for (const auto& [name, attribute] : node.attributes) out << " " << name << "=" << std::visit(AttributeText{}, attribute);
  out << "\n";
  for (const auto& [name, body] : node.bodies) {
    out << indent << "  " << name << ":\n";
    write_body(graph, body, indent + "    ", out);
  }
}

void write_body(const Graph& graph, const Body& body, const std::string& indent, std::ostringstream& out) {
  for (const ValueId id : body.inputs) {
    out << indent << "input " << printable(graph.value(id).name) << ": " << type_text(graph.value(id)) << "\n";
  }
  for (const ValueId id : body.constants) {
    out << indent << "constant " << printable(graph.value(id).name) << ": " << constant_text(*graph.constant(id)) << "\n";
  }
  for (const NodeId id : body.nodes) write_node(graph, graph.node(id), indent, out);
  out << indent << "output " << names_text(graph, body.outputs) << "\n";
}

}  // namespace

std::string text(const Graph& graph) {
  std::ostringstream out;
  write_body(graph, graph.main(), "", out);
  return out.str();
}

}  // namespace niwaki
