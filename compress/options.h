#pragma once

#include "compress/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace niwaki {

using Json = nlohmann::json;

/// One option: the only place where its name, meaning and range are written down.
template <typename Owner, typename T>
struct Field {
  const char* name;
  T Owner::*member;
  const char* help;
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  constexpr Field between(double least, double most) const { return {name, member, help, least, most}; }
};
template <typename Owner, typename T>
constexpr Field<Owner, T> field(const char* name, T Owner::*member, const char* help) {
  return {name, member, help};
}

/// What --help, the documentation and the bindings print of one option.
struct OptionText {
  std::string name, type, help, otherwise;   // type: "int", "number", "bool", "text", "list" or "a|b|c"
};

namespace detail {

template <typename T>
concept Named = std::is_enum_v<T>;
template <typename T>
struct Unwrapped { using type = T; };
template <typename T>
struct Unwrapped<std::optional<T>> { using type = T; };

template <typename T>
std::string type_text() {
  using U = typename Unwrapped<T>::type;
  if constexpr (Named<U>) {
    std::string text;
    for (const char* name : names(U{})) text += (text.empty() ? "" : "|") + std::string(name);
    return text;
  } else if constexpr (std::is_same_v<U, bool>) {
    return "bool";
  } else if constexpr (std::is_integral_v<U>) {
    return "int";
  } else if constexpr (std::is_floating_point_v<U>) {
    return "number";
  } else if constexpr (std::is_same_v<U, std::string>) {
    return "text";
  } else {
    return "list";
  }
}

template <typename T>
T read(const Json& json, const char* name) {
  using U = typename Unwrapped<T>::type;
  const auto refuse = [&](const std::string& needed) -> U {
    throw UsageError("E2005", cat("option '", name, "' is ", json.dump(), "; needed ", needed));
  };
  if constexpr (Named<U>) {
    const auto all = names(U{});
    for (size_t i = 0; i < all.size(); ++i) {
      if (json.is_string() && json.get<std::string>() == all[i]) return static_cast<U>(i);
    }
    return refuse("one of " + type_text<U>());
  } else if constexpr (std::is_same_v<U, bool>) {
    return json.is_boolean() ? json.get<bool>() : refuse("true or false");
  } else if constexpr (std::is_integral_v<U>) {
    if (!json.is_number_integer()) return refuse("a whole number");
    const U value = json.get<U>();
    return Json(value) == json ? value : refuse("a smaller number");
  } else if constexpr (std::is_floating_point_v<U>) {
    return json.is_number() ? json.get<U>() : refuse("a number");
  } else if constexpr (std::is_same_v<U, std::string>) {
    return json.is_string() ? json.get<U>() : refuse("text");
  } else {
    if (json.is_string()) return U{json.get<std::string>()};
    const bool is_list = json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& one) { return one.is_string(); });
    return is_list ? json.get<U>() : refuse("a list of text");
  }
}

template <typename T>
Json write(const T& value) {
  if constexpr (Named<T>) {
    return names(T{})[static_cast<size_t>(value)];
  } else {
    return value;
  }
}

}  // namespace detail

/// Json of all options, defaults included.
template <typename O>
Json options_json(const O& options) {
  Json json = Json::object();
  std::apply(
      [&](const auto&... each) {
        [[maybe_unused]] const auto put = [&](const auto& one) {
          const auto& value = options.*one.member;
          if constexpr (requires { value.has_value(); }) {
            if (value) json[one.name] = detail::write(*value);
          } else {
            json[one.name] = detail::write(value);
          }
        };
        (put(each), ...);
      },
      O::fields());
  return json;
}

/// Reads options from Json; an unknown key is E2004, a wrong type E2005, a number out of range E2008.
template <typename O>
O parse_options(const Json& json) {
  O options;
  std::vector<std::string> known;
  std::apply(
      [&](const auto&... each) {
        [[maybe_unused]] const auto take = [&](const auto& one) {
          known.push_back(one.name);
          if (!json.contains(one.name)) return;
          using T = std::remove_reference_t<decltype(options.*one.member)>;
          using U = typename detail::Unwrapped<T>::type;
          const U value = detail::read<U>(json[one.name], one.name);
          if constexpr (std::is_arithmetic_v<U> && !std::is_same_v<U, bool>) {
            if (static_cast<double>(value) < one.low || static_cast<double>(value) > one.high) {
              throw UsageError("E2008", cat("option '", one.name, "' is ", value, "; needed ", one.low, " to ", one.high));
            }
          }
          options.*one.member = value;
        };
        (take(each), ...);
      },
      O::fields());
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = nearest(key, known);
    throw UsageError("E2004", cat("unknown option '", printable(key), "'"), {.help = near.empty() ? "" : cat("did you mean '", near, "'?")});
  }
  options.validate();
  return options;
}

template <typename O>
std::vector<OptionText> options_text() {
  const Json defaults = options_json(O{});
  std::vector<OptionText> texts;
  std::apply(
      [&](const auto&... each) {
        [[maybe_unused]] const auto put = [&](const auto& one) {
          using T = std::remove_reference_t<decltype(std::declval<O&>().*one.member)>;
          texts.push_back({one.name, detail::type_text<T>(), one.help, defaults.contains(one.name) ? defaults[one.name].dump() : ""});
        };
        (put(each), ...);
      },
      O::fields());
  return texts;
}

}  // namespace niwaki
