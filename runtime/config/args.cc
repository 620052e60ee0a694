#include "runtime/config/args.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/config/files.h"

namespace mayfly {
namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text.substr(0, 300);
}

std::string range_of(const ArgSpec& spec) {
  return spec.max == UINT64_MAX ? fmt::format("{} or more", spec.min)
                                : fmt::format("{} to {}", spec.min, spec.max);
}

// 20Mpps or 100Mbps: per second either way.
uint64_t read_rate(const ArgSpec& spec, const Value& value) {
  const std::string given = value.text("a rate, for example 1Mpps or 100Mbps");
  if (!value.source().ok()) return 0;
  const auto bits = parse_bit_rate(given);
  const auto packets = given == "max" ? absl::StatusOr<double>(absl::InvalidArgumentError(""))
                                      : parse_packet_rate(given);
  if (!bits.ok() && !packets.ok()) {
    const bool is_number = given.find_first_not_of("0123456789.") == std::string::npos;
    value.error(fmt::format("\"{}\" {}; write for example 20kpps, 1Mpps or 100Mbps", given,
                            is_number ? "has no unit" : "is not a rate"));
    return 0;
  }
  const uint64_t n = bits.ok() ? *bits : static_cast<uint64_t>(*packets);
  if (n < spec.min || n > spec.max)
    value.error(
        fmt::format("{} is out of bounds; per second it must be {}", given, range_of(spec)));
  return n;
}

void read_file_arg(const Value& value, ArgValue& arg) {
  const std::string path = value.text("a file name");
  if (!value.source().ok() || path.empty()) return;  // "": no file, no content
  const Source& source = value.source();
  auto content = source.read_file(path);
  if (!content.ok()) return value.error(std::string(content.status().message()));
  arg.text = *std::move(content);
  arg.file = path_from(source.dir, path);
}

Nanos as_nanos(uint64_t n) {
  constexpr uint64_t kLongest = INT64_MAX - 1;  // kNever is "off"
  return {static_cast<int64_t>(std::min(n, kLongest))};
}

ArgValue read_one(const ArgSpec& spec, const Value& value) {
  ArgValue arg;
  arg.name = spec.name;
  arg.is_number = spec.type != ArgType::text && spec.type != ArgType::file;
  switch (spec.type) {
    case ArgType::integer:
      arg.number = value.integer(spec.min, spec.max);
      break;
    case ArgType::boolean:
      arg.number = value.boolean() ? 1 : 0;
      break;
    case ArgType::rate:
      arg.number = read_rate(spec, value);
      break;
    case ArgType::duration:
      arg.number = static_cast<uint64_t>(value.duration(as_nanos(spec.min), as_nanos(spec.max)).n);
      break;
    case ArgType::size:
      arg.number = value.size(spec.min, spec.max);
      break;
    case ArgType::text:
      arg.text = value.text();
      break;
    case ArgType::file:
      read_file_arg(value, arg);
      break;
  }
  return arg;
}

std::vector<std::string_view> arg_names(const ImageInfo& image) {
  std::vector<std::string_view> names;
  for (const ArgSpec& spec : image.args) names.push_back(spec.name);
  return names;
}

std::string example_of(const ArgSpec& spec) {
  switch (spec.type) {
    case ArgType::integer:
      return fmt::format("{}", spec.min);
    case ArgType::boolean:
      return "true";
    case ArgType::rate:
      return "100Mbps";
    case ArgType::duration:
      return "1s";
    case ArgType::size:
      return "64KiB";
    case ArgType::text:
      return "\"...\"";
    case ArgType::file:
      return fmt::format("{}.txt", spec.name);
  }
  return {};
}

// Equal arguments have equal text: every part carries its length.
std::string fingerprint(const std::vector<ArgValue>& args) {
  std::string s;
  for (const ArgValue& a : args) {
    s += fmt::format("{}:{}{}", a.name.size(), a.name, a.is_number ? '#' : '$');
    s += a.is_number ? fmt::format("{};", a.number) : fmt::format("{}:", a.text.size()) + a.text;
  }
  return s;
}

}  // namespace

const ImageInfo* ImageCatalog::describe(const std::string& path, const Value& where) {
  if (const auto it = images_.find(path); it != images_.end()) return &it->second;
  auto info = describe_image(path);
  if (!info.ok()) {
    where.error(std::string(info.status().message()));
    return nullptr;
  }
  return &images_.emplace(path, *std::move(info)).first->second;
}

LocatedArgs read_args(const ImageInfo& image, const Value& given) {
  const Map map(given, arg_names(image));
  LocatedArgs located;
  for (const ArgSpec& spec : image.args) {
    Value value = map[spec.name];
    if (!value && !spec.fallback) {
      given.error(fmt::format("\"{}\" is missing ({}); write for example {}: {}", spec.name,
                              spec.help, spec.name, example_of(spec)));
      return located;
    }
    YamlNode fallback;
    if (!value) {
      fallback.kind = YamlKind::scalar;
      fallback.line = given.line();
      fallback.text = *spec.fallback;
      value = Value(given.source(), &fallback, given.line(),
                    fmt::format("{} (default of image {})", value.label(), image.name));
    }
    located.args.push_back(read_one(spec, value));
    located.lines.push_back(value.line());
    located.sources.push_back(&given.source());
  }
  return located;
}

LocatedArgs merge_args(const ImageInfo& image, const Value& given, LocatedArgs base) {
  const Map map(given, arg_names(image));
  for (const ArgSpec& spec : image.args) {
    const Value value = map[spec.name];
    if (!value) continue;
    for (size_t i = 0; i < base.args.size(); ++i) {
      if (base.args[i].name != spec.name) continue;
      base.args[i] = read_one(spec, value);
      base.lines[i] = value.line();
      base.sources[i] = &value.source();
    }
  }
  return base;
}

size_t CompileBatch::add(const std::string& image_path, LocatedArgs args, const Value& where) {
  const auto [it, is_new_job] = jobs_.try_emplace(image_path);
  Job& job = it->second;
  if (is_new_job) job_order_.push_back(image_path);
  const auto [entry, is_new] = job.entry_of.try_emplace(fingerprint(args.args), job.entries.size());
  if (is_new) {
    job.entries.push_back(args.args);
    job.first_request.push_back(requests_.size());
  }
  for (ArgValue& arg : args.args) arg.text.clear();  // for report(): names and files are enough
  requests_.push_back({image_path, entry->second, std::move(args), where});
  return requests_.size() - 1;
}

void CompileBatch::run() {
  for (const std::string& path : job_order_) {
    Job& job = jobs_[path];
    auto result = compile_args(path, job.entries);
    if (!result.ok()) {
      requests_[job.first_request[0]].where.error(std::string(result.status().message()));
      return;
    }
    if (const auto* error = std::get_if<CompileError>(&*result)) {
      report(requests_[job.first_request[error->entry]], error->error);
      return;
    }
    job.blobs = std::get<0>(*std::move(result));
  }
}

void CompileBatch::report(const Request& request, const ArgError& error) const {
  const std::string message = one_line(error.message);
  for (size_t i = 0; i < request.args.args.size(); ++i) {
    const ArgValue& arg = request.args.args[i];
    if (arg.name != error.arg) continue;
    const Source& source = *request.args.sources[i];
    if (error.line > 0 && !arg.file.empty())
      source.errors->report(fmt::format("{}:{}: {}", arg.file, error.line, message));
    else
      source.error(request.args.lines[i],
                   fmt::format("{}.{}: {}", request.where.label(), arg.name, message));
    return;
  }
  request.where.error(message);
}

const std::vector<uint8_t>& CompileBatch::blob(size_t request) const {
  const Request& r = requests_[request];
  return jobs_.at(r.image_path).blobs[r.entry];
}

}  // namespace mayfly
