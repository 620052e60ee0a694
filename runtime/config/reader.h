// Reading a YamlTree with errors that stick.
//
// A Value knows its place ("memory.packets", file, line). Every read of a wrong value records
// "FILE:LINE: what is wrong with VALUE; what would be right" and returns a harmless default, so
// that the sections of the parser are straight lines; only the first error is kept, and whoever
// acts on values (rather than storing them) asks ok() first.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/base/limits.h"
#include "runtime/base/types.h"
#include "runtime/config/parse.h"
#include "runtime/config/yaml_tree.h"

namespace mayfly {

// The first error of a parse, over all its files.
class FirstError {
 public:
  void report(std::string message) {
    if (ok()) status_ = absl::InvalidArgumentError(message);
  }
  void report(const absl::Status& status) {
    if (ok()) status_ = status;
  }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// A file being read: its name for messages, and where the paths in it start from.
struct Source {
  std::string file;
  std::string dir;  // empty: the current one
  FirstError* errors;
  FileReader read_file;  // of file arguments

  void error(uint32_t line, std::string_view message) const;
  bool ok() const { return errors->ok(); }
};

template <class E>
struct Word {
  std::string_view text;
  E value;
};

class Value {
 public:
  Value(const Source& source, const YamlNode* node, uint32_t line, std::string label)
      : source_(&source), node_(node), line_(line), label_(std::move(label)) {}

  explicit operator bool() const { return node_ != nullptr; }  // given in the file?
  bool is(YamlKind kind) const { return node_ != nullptr && node_->kind == kind; }
  uint32_t line() const { return line_; }
  const std::string& label() const { return label_; }
  const Source& source() const { return *source_; }
  const YamlNode* node() const { return node_; }

  std::string text(std::string_view expected = "a text") const;
  std::string name() const;  // a text that is_name()
  uint64_t integer(uint64_t min, uint64_t max) const;
  double number(double min, double max) const;  // decimals, no exponent
  bool boolean() const;
  Nanos duration(Nanos min, Nanos max, bool may_be_off = false) const;
  uint64_t size(uint64_t min, uint64_t max) const;
  double packet_rate() const;

  template <class E>
  E word(std::span<const Word<E>> words) const {
    const std::string given = text(spell(words));
    for (const Word<E>& w : words)
      if (w.text == given) return w.value;
    if (source_->ok()) error(unknown(given, spell(words)));
    return words[0].value;
  }
  template <class E, size_t N>
  E word(const Word<E> (&words)[N]) const {
    return word(std::span<const Word<E>>(words, N));
  }

  std::vector<Value> list(std::string_view item_label, size_t min, size_t max) const;

  // "LABEL: message" at this line. The message follows the house form.
  void error(std::string_view message) const { error_at(line_, message); }
  void error_at(uint32_t line, std::string_view message) const;

 private:
  template <class E>
  static std::string spell(std::span<const Word<E>> words) {
    std::vector<std::string_view> names;
    for (const Word<E>& w : words) names.push_back(w.text);
    return spell_names(names);
  }
  static std::string spell_names(const std::vector<std::string_view>& names);
  static std::string unknown(std::string_view given, std::string_view words);

  const Source* source_;
  const YamlNode* node_;
  uint32_t line_;
  std::string label_;
};

// A map with a fixed set of keys; any other is an error.
class Map {
 public:
  Map(const Value& value, std::vector<std::string_view> known);

  // Absent (false) when the key is not given.
  Value operator[](std::string_view key) const;
  // As above, and an error when it is not given; `example` shows what to write.
  Value required(std::string_view key, std::string_view example) const;

  const Value& value() const { return value_; }

 private:
  Value value_;
};

// A map whose keys are names that the user chose.
struct Named {
  std::string name;
  Value value;
};
std::vector<Named> named_entries(const Value& value, size_t count_max);

// 1 to 63 letters, digits, '_', '-', '.' or ':', starting with a letter, a digit or '_'.
bool is_name(std::string_view text);
inline constexpr std::string_view kNameRule =
    "use 1 to 63 letters, digits, '_', '-', '.' or ':', the first a letter or digit";
static_assert(kTenantNameBytesMax == 63);

// `; did you mean "packets"?` or, if nothing is near, `; known are a, b and c`.
std::string suggest(std::string_view given, const std::vector<std::string_view>& known);

}  // namespace mayfly
