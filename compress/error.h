#pragma once

#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace niwaki {

enum class ErrorKind { usage, model, unsupported, environment, internal };

/// What a message says beside its cause (ux.md section 12); each part may be empty.
struct ErrorDetails {
  std::string where;   // "model.onnx, byte 88120, tensor 'fc.weight'"
  std::string found;   // "found '../../etc/passwd'; needed a file below the model's directory"
  std::string help;    // what to do next, as a command where there is one
};

/// The base of everything Niwaki throws: a code of safety.md, a cause, and the place, which grows on the way up.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string code, std::string message, ErrorDetails details = {});

  /// Puts a place before what is known: `pass 1 of 2 'quantize'`; the kind and the code survive a `throw;`.
  Error& within(const std::string& place);

  ErrorKind kind() const { return kind_; }
  const std::string& code() const { return code_; }
  const std::string& message() const { return message_; }
  const ErrorDetails& details() const { return details_; }
  /// 2 to 5 by kind (house.md section 7).
  int exit_code() const;
  /// `error[CODE]: cause`, then `  --> where`, `   |  found`, `help: ...`, each on lines of its own.
  std::string text() const;
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  void compose();
  ErrorKind kind_;
  std::string code_, message_, what_;
  ErrorDetails details_;
};

struct UsageError : Error {
  UsageError(std::string code, std::string message, ErrorDetails details = {})
      : Error(ErrorKind::usage, std::move(code), std::move(message), std::move(details)) {}
};
struct ModelError : Error {
  ModelError(std::string code, std::string message, ErrorDetails details = {})
      : Error(ErrorKind::model, std::move(code), std::move(message), std::move(details)) {}
};
struct UnsupportedError : Error {
  UnsupportedError(std::string code, std::string message, ErrorDetails details = {})
      : Error(ErrorKind::unsupported, std::move(code), std::move(message), std::move(details)) {}
};
struct EnvironmentError : Error {
  EnvironmentError(std::string code, std::string message, ErrorDetails details = {})
      : Error(ErrorKind::environment, std::move(code), std::move(message), std::move(details)) {}
};
struct InternalError : Error {
  explicit InternalError(std::string message, ErrorDetails details = {})
      : Error(ErrorKind::internal, "E5001", std::move(message), std::move(details)) {}
};
/// The user asked to stop (signal, or a Python KeyboardInterrupt); no error of anybody.
struct Interrupted : std::exception {
  Interrupted() = default;
  explicit Interrupted(std::string directory) : run_directory(std::move(directory)) {}
  std::string run_directory = "";            // from which `niwaki run` goes on; "": nothing is left to go on from
  const char* what() const noexcept override { return "interrupted"; }
};

/// Joins anything that streams: cat("axis ", 3, " of ", 4).
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// "[64, 3, 7, 7]".
template <typename Range>
std::string shape_text(const Range& sizes) {
  std::ostringstream text;
  const char* separator = "[";
  for (const auto& size : sizes) {
    text << separator << size;
    separator = ", ";
  }
  return sizes.empty() ? "[]" : text.str() + "]";
}

/// Text from a file made safe for a terminal: control, bidirectional and invalid bytes escaped, at most `columns` long.
std::string printable(std::string_view text, size_t columns = 200);

/// The entry of `candidates` nearest to `word` by edit distance, or "" where none is near.
template <typename Range>
std::string nearest(const std::string& word, const Range& candidates);
std::string nearest_word(const std::string& word, const std::string* begin, const std::string* end);
template <typename Range>
std::string nearest(const std::string& word, const Range& candidates) {
  std::vector<std::string> words(std::begin(candidates), std::end(candidates));
  return nearest_word(word, words.data(), words.data() + words.size());
}

}  // namespace niwaki
