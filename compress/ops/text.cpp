#include "compress/ops/text.h"

#include "compress/ops/op_arguments.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>


namespace niwaki {
namespace {

const RunValue& strings_of(const OpCall& call, size_t i) {
  if (!call.has(i) || !call.inputs[i].strings) refuse(call, cat("input ", i, " is no tensor of strings"));
  return call.inputs[i];
}

Strings strings_attribute(const OpCall& call, const std::string& name) {
  const auto found = call.node.attributes.find(name);
  const auto* given = found == call.node.attributes.end() ? nullptr : std::get_if<Strings>(&found->second);
  return given == nullptr ? Strings{} : *given;
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
    return;
  }
  const int more = code < 0x800 ? 1 : (code < 0x10000 ? 2 : 3);
  static constexpr uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  text.push_back(static_cast<char>(kLead[more] | (code >> (6 * more))));
  for (int i = more; i-- > 0;) text.push_back(static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F)));
}

/// Case of Latin-1, Greek and Cyrillic letters beside ASCII, without a locale: results do not depend on the machine.
uint32_t in_case(uint32_t code, bool is_lower) {
  const auto shift = [&](uint32_t first, uint32_t last, uint32_t by) {
    if (is_lower && code >= first && code <= last) return code + by;
    if (!is_lower && code >= first + by && code <= last + by) return code - by;
    return code;
  };
  if (code < 0x80) return shift('A', 'Z', 32);
  if (code >= 0xC0 && code <= 0xFE && code != 0xD7 && code != 0xDF && code != 0xF7) return shift(0xC0, 0xDE, 32);
  if (code >= 0x391 && code <= 0x3C9 && code != 0x3C2) return shift(0x391, 0x3A9, 32);
  if (code >= 0x410 && code <= 0x44F) return shift(0x410, 0x42F, 32);
  if (code >= 0x400 && code <= 0x45F) return shift(0x400, 0x40F, 80);
  return code;
}

std::string cased(const std::string& text, const std::string& action) {
  if (action == "NONE") return text;
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0xC0 ? 1 : (lead < 0xE0 ? 2 : (lead < 0xF0 ? 3 : 4));
    if (length == 1 || i + length > text.size()) {
      append_utf8(result, 0);
      result.back() = lead < 0x80 ? static_cast<char>(in_case(lead, action == "LOWER")) : text[i];
      ++i;
      continue;
    }
    uint32_t code = lead & (0xFFU >> (length + 1));
    for (size_t k = 1; k < length; ++k) code = (code << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    append_utf8(result, in_case(code, action == "LOWER"));
    i += length;
  }
  return result;
}

/// Pieces between `delimiter`s, or between runs of white space when it is empty; -1 splits without limit.
Strings pieces(const std::string& text, const std::string& delimiter, int64_t most) {
  Strings found;
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  size_t begin = 0;
  if (delimiter.empty()) {
    while (true) {
      while (begin < text.size() && is_space(text[begin])) ++begin;
      if (begin == text.size()) return found;
      if (most >= 0 && static_cast<int64_t>(found.size()) == most) {
        size_t end = text.size();
        while (end > begin && is_space(text[end - 1])) --end;
        found.push_back(text.substr(begin, end - begin));
        return found;
      }
      const size_t end = static_cast<size_t>(std::find_if(text.begin() + static_cast<int64_t>(begin), text.end(), is_space) - text.begin());
      found.push_back(text.substr(begin, end - begin));
      begin = end;
    }
  }
  for (size_t end = text.find(delimiter); end != std::string::npos && (most < 0 || static_cast<int64_t>(found.size()) < most);
       end = text.find(delimiter, begin)) {
    found.push_back(text.substr(begin, end - begin));
    begin = end + delimiter.size();
  }
  found.push_back(text.substr(begin));
  return found;
}

}  // namespace

RunValues regex_full_match(const OpCall& call) {
  const RunValue& x = strings_of(call, 0);
  const std::string pattern = string_attribute(call.node, "pattern", "");
  const Tensor matches = at::empty(x.sizes, at::kBool);
  try {
    const std::regex expression(pattern, std::regex::ECMAScript | std::regex::optimize);
    for (size_t i = 0; i < x.strings->size(); ++i) matches.mutable_data_ptr<bool>()[i] = std::regex_match((*x.strings)[i], expression);
  } catch (const std::regex_error&) {
    refuse_unsupported(call, cat("the pattern '", printable(pattern), "' is none of ECMAScript"));
  }
  return {matches};
}

RunValues string_concat(const OpCall& call) {
  const RunValue &a = strings_of(call, 0), &b = strings_of(call, 1);
  const std::vector<Tensor> indices = at::broadcast_tensors({movable(a), movable(b)});
  check_sizes(call, indices[0].sizes());
  const RunValue left = restored(a, indices[0]), right = restored(b, indices[1]);
  Strings joined = *left.strings;
  for (size_t i = 0; i < joined.size(); ++i) joined[i] += (*right.strings)[i];
  return {string_value(std::move(joined), left.sizes)};
}

RunValues string_normalizer(const OpCall& call) {
  const RunValue& x = strings_of(call, 0);
  if (x.sizes.size() > 2 || x.sizes.empty() || (x.sizes.size() == 2 && x.sizes[0] != 1)) {
    refuse(call, cat("sizes ", shape_text(x.sizes), " instead of [C] or [1, C]"));
  }
  const std::string action = string_attribute(call.node, "case_change_action", "NONE");
  if (action != "NONE" && action != "LOWER" && action != "UPPER") refuse(call, cat("unknown case_change_action '", printable(action), "'"));
  const bool is_sensitive = call.attribute("is_case_sensitive", 0) != 0;
  const std::string fold = is_sensitive ? "NONE" : "LOWER";
  std::set<std::string> stops;
  for (const std::string& word : strings_attribute(call, "stopwords")) stops.insert(cased(word, fold));
  Strings kept;
  for (const std::string& text : *x.strings) {
    if (!stops.contains(cased(text, fold))) kept.push_back(cased(text, action));
  }
  if (kept.empty()) kept.emplace_back();     // ONNX: one empty string instead of no element
  std::vector<int64_t> sizes = x.sizes;
  sizes.back() = static_cast<int64_t>(kept.size());
  return {string_value(std::move(kept), sizes)};
}

RunValues string_split(const OpCall& call) {
  const RunValue& x = strings_of(call, 0);
  const std::string delimiter = string_attribute(call.node, "delimiter", "");
  const int64_t most = call.attribute("maxsplit", -1);
  std::vector<Strings> rows;
  size_t width = 0;
  const Tensor counts = at::empty(x.sizes, at::kLong);
  for (size_t i = 0; i < x.strings->size(); ++i) {
    rows.push_back(pieces((*x.strings)[i], delimiter, most));
    width = std::max(width, rows.back().size());
    counts.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rows.back().size());
  }
  std::vector<int64_t> sizes = x.sizes;
  sizes.push_back(static_cast<int64_t>(width));
  check_sizes(call, sizes);
  Strings all;
  for (Strings& row : rows) {
    row.resize(width);
    all.insert(all.end(), row.begin(), row.end());
  }
  return {string_value(std::move(all), sizes), counts};
}

namespace {

/// An n-gram as text: numbers and strings share one map.
using Gram = Strings;

Strings words_of(const OpCall& call) {
  if (call.has(0) && call.inputs[0].strings) return *call.inputs[0].strings;
  Strings words;
  for (const int64_t number : call.ints(0)) words.push_back(std::to_string(number));
  return words;
}

struct Vocabulary {
  std::map<Gram, int64_t> column_index;      // n-gram -> its place in the pool
  std::vector<int64_t> columns;              // place in the pool -> output column
  int64_t width = 0;
};

Vocabulary read_vocabulary(const OpCall& call) {
  Strings pool = strings_attribute(call, "pool_strings");
  for (const int64_t number : ints_attribute(call.node, "pool_int64s")) pool.push_back(std::to_string(number));
  Vocabulary vocabulary;
  vocabulary.columns = ints_attribute(call.node, "ngram_indexes");
  std::vector<int64_t> starts = ints_attribute(call.node, "ngram_counts");
  starts.push_back(static_cast<int64_t>(pool.size()));
  int64_t next = 0;
  for (size_t n = 1; n < starts.size(); ++n) {
    const auto length = static_cast<int64_t>(n);
    for (int64_t at = starts[n - 1]; at >= 0 && at + length <= std::min(starts[n], static_cast<int64_t>(pool.size())); at += length) {
      vocabulary.column_index.emplace(Gram(pool.begin() + at, pool.begin() + at + length), next++);
    }
  }
  for (const int64_t column : vocabulary.columns) {
    if (column < 0) refuse(call, cat("ngram_indexes has ", column));
    vocabulary.width = std::max(vocabulary.width, column + 1);
  }
  if (next > static_cast<int64_t>(vocabulary.columns.size())) refuse(call, cat(next, " n-grams, ", vocabulary.columns.size(), " ngram_indexes"));
  return vocabulary;
}

/// Counts the n-grams of one row; single words are counted once, whatever may be skipped between words.
void count_grams(const OpCall& call, const Vocabulary& vocabulary, std::span<const std::string> row, float* counts) {
  const int64_t shortest = call.attribute("min_gram_length", 1), longest = call.attribute("max_gram_length", 1);
  const auto size = static_cast<int64_t>(row.size());
  for (int64_t step = 1; step <= call.attribute("max_skip_count", 0) + 1; ++step) {
    for (int64_t n = shortest; n <= longest; ++n) {
      if (n == 1 && step > 1) continue;
      for (int64_t start = 0; start + (n - 1) * step < size; ++start) {
        Gram gram;
        for (int64_t k = 0; k < n; ++k) gram.push_back(row[static_cast<size_t>(start + k * step)]);
        const auto found = vocabulary.column_index.find(gram);
        if (found != vocabulary.column_index.end()) counts[vocabulary.columns[static_cast<size_t>(found->second)]] += 1;
      }
    }
  }
}

}  // namespace

RunValues tf_idf_vectorizer(const OpCall& call) {
  const Strings words = words_of(call);
  const std::vector<int64_t> from = sizes_of(present(call, 0));
  if (from.size() > 2) refuse(call, cat("sizes ", shape_text(from), " instead of [C] or [N, C]"));
  const Vocabulary vocabulary = read_vocabulary(call);
  const int64_t rows = from.size() == 2 ? from[0] : 1;
  const size_t length = rows == 0 ? 0 : words.size() / static_cast<size_t>(rows);
  check_sizes(call, {rows, vocabulary.width});
  Tensor counts = at::zeros({rows, vocabulary.width}, at::kFloat);
  for (int64_t i = 0; i < rows; ++i) {
    count_grams(call, vocabulary, std::span(words).subspan(static_cast<size_t>(i) * length, length),
                counts.mutable_data_ptr<float>() + i * vocabulary.width);
  }
  const std::string mode = string_attribute(call.node, "mode", "");
  const auto found = call.node.attributes.find("weights");
  const auto* given = found == call.node.attributes.end() ? nullptr : std::get_if<std::vector<float>>(&found->second);
  if (mode == "IDF") counts = (counts > 0).to(at::kFloat);
  if (mode != "TF" && given != nullptr) {
    // weights are listed as the n-grams are; each belongs to the column of its n-gram
    Tensor weights = at::ones({vocabulary.width}, at::kFloat);
    for (size_t i = 0; i < given->size() && i < vocabulary.columns.size(); ++i) {
      weights.mutable_data_ptr<float>()[vocabulary.columns[i]] = (*given)[i];
    }
    counts = counts * weights;
  }
  return {from.size() == 2 ? counts : counts.squeeze(0)};
}

}  // namespace niwaki
