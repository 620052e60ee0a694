#include "runtime/config/image.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "nlohmann/json.hpp"
#include "runtime/base/limits.h"
#include "runtime/config/image_process.h"
#include "runtime/config/reader.h"

namespace mayfly {
namespace {

using nlohmann::json;

bool is_file(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::vector<std::string> search_dirs() {
  std::vector<std::string> dirs;
  if (const char* path = std::getenv("MAYFLY_NF_PATH")) {
    std::string_view rest = path;
    while (!rest.empty()) {
      const size_t colon = rest.find(':');
      if (colon != 0) dirs.emplace_back(rest.substr(0, colon));
      rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
  }
  if (const auto dir = executable_dir(); dir.ok()) {
    // .../bin and the build tree's .../bin, .../tests and .../bench alike.
    const size_t slash = dir->rfind('/');
    dirs.push_back(dir->substr(0, slash) + "/lib/mayfly/nfs");
  }
  return dirs;
}

// Names of the images in `dirs`, for "did you mean".
std::vector<std::string> images_in(const std::vector<std::string>& dirs) {
  std::vector<std::string> names;
  for (const std::string& path : dirs) {
    DIR* dir = opendir(path.c_str());
    if (dir == nullptr) continue;
    while (const dirent* entry = readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name.size() > 3 && name.ends_with(".so"))
        names.emplace_back(name.substr(0, name.size() - 3));
    }
    closedir(dir);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// Null if `end` is a success; else the reason, in which `call` is what the image was doing.
absl::Status failure_of(const ImageProcessEnd& end, const std::string& path,
                        std::string_view call) {
  if (end.timed_out)
    return absl::DeadlineExceededError(fmt::format("image {} did not return from {} within {} s",
                                                   path, call, kImageTimeMax.n / 1'000'000'000));
  if (end.signal != 0)
    return absl::InvalidArgumentError(
        fmt::format("image {} crashed in {}: signal {}", path, call, end.signal));
  if (end.exit_code != 0)
    return absl::InvalidArgumentError(
        end.err.empty()
            ? fmt::format("image {}: {} ended with exit code {}", path, call, end.exit_code)
            : end.err);
  return absl::OkStatus();
}

absl::StatusOr<ImageProcessEnd> run(const char* verb, const std::string& path,
                                    std::string_view call, std::string_view input = {}) {
  auto end = run_image_tool({verb, path}, input, kImageTimeMax);
  if (!end.ok()) return end.status();
  if (absl::Status failure = failure_of(*end, path, call); !failure.ok()) return failure;
  return end;
}

absl::Status bad_answer(const std::string& path, const std::exception& e) {
  return absl::InternalError(
      fmt::format("mayfly-image gave no sense about {}: {}", path, e.what()));
}

std::string_view as_text(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<uint8_t> encode(const std::vector<std::vector<ArgValue>>& entries) {
  json all = json::array();
  for (const std::vector<ArgValue>& entry : entries) {
    json args = json::object();
    for (const ArgValue& arg : entry) {
      if (arg.is_number)
        args[arg.name] = arg.number;
      else
        args[arg.name] = arg.text;
    }
    all.push_back({{"args", std::move(args)}});
  }
  return json::to_cbor(all);
}

}  // namespace

absl::StatusOr<std::string> find_image(std::string_view image, std::string_view config_dir) {
  const std::string name(image);
  if (name.empty()) return absl::NotFoundError("the image has no name");
  if (name.find('/') != std::string::npos) {
    const std::string path =
        name[0] == '/' || config_dir.empty() ? name : fmt::format("{}/{}", config_dir, name);
    if (is_file(path)) return path;
    return absl::NotFoundError(fmt::format("image \"{}\": there is no file {}", name, path));
  }
  const std::vector<std::string> dirs = search_dirs();
  for (const std::string& dir : dirs)
    if (const std::string path = fmt::format("{}/{}.so", dir, name); is_file(path)) return path;
  const std::vector<std::string> there = images_in(dirs);
  const std::vector<std::string_view> names(there.begin(), there.end());
  return absl::NotFoundError(fmt::format("image \"{}\" is not in {}{}", name, fmt::join(dirs, ", "),
                                         suggest(name, names)));
}

absl::StatusOr<ImageInfo> describe_image(const std::string& path) {
  const auto end = run("describe", path, "loading");
  if (!end.ok()) return end.status();
  try {
    const json j = json::parse(end->out);
    ImageInfo info;
    info.name = j.at("name").get<std::string>();
    info.summary = j.at("summary").get<std::string>();
    info.tick_period_ns = j.at("tick_period_ns").get<uint64_t>();
    info.blank_buffers = j.at("blank_buffers").get<uint32_t>();
    for (const json& a : j.at("args")) {
      ArgSpec spec;
      spec.name = a.at("name").get<std::string>();
      const auto type = arg_type_of(a.at("type").get<std::string>());
      if (!type) throw std::runtime_error("an unknown argument type");
      spec.type = *type;
      spec.help = a.at("help").get<std::string>();
      if (!a.at("fallback").is_null()) spec.fallback = a.at("fallback").get<std::string>();
      spec.min = a.at("min").get<uint64_t>();
      spec.max = a.at("max").get<uint64_t>();
      info.args.push_back(std::move(spec));
    }
    return info;
  } catch (const std::exception& e) {
    return bad_answer(path, e);
  }
}

absl::StatusOr<CompileResult> compile_args(const std::string& path,
                                           const std::vector<std::vector<ArgValue>>& entries) {
  const std::vector<uint8_t> input = encode(entries);
  const auto end = run("compile", path, "compile()", as_text(input));
  if (!end.ok()) return end.status();
  try {
    const json answer = json::from_cbor(end->out);
    if (!answer.is_array() || answer.size() != entries.size())
      throw std::runtime_error("not one answer for each entry");
    std::vector<std::vector<uint8_t>> blobs;
    blobs.reserve(answer.size());
    for (size_t i = 0; i < answer.size(); ++i) {
      if (answer[i].contains("error")) {
        const json& error = answer[i]["error"];
        return CompileError{i, ArgError{.arg = error.at("arg").get<std::string>(),
                                        .line = error.at("line").get<uint32_t>(),
                                        .message = error.at("message").get<std::string>()}};
      }
      const json::binary_t& config = answer[i].at("config").get_binary();
      if (config.size() > kBindBytesMax) throw std::runtime_error("a configuration above 64 KiB");
      blobs.emplace_back(config.begin(), config.end());
    }
    return blobs;
  } catch (const std::exception& e) {
    return bad_answer(path, e);
  }
}

absl::Status check_create(const Config& config) {
  for (const NfConfig& nf : config.nfs) {
    json entries = json::array({{{"config", json::binary(nf.blob)}}});
    const std::vector<uint8_t> input = json::to_cbor(entries);
    const auto end = run("check", nf.image_path, "create()", as_text(input));
    if (!end.ok())
      return absl::Status(end.status().code(),
                          fmt::format("{}:{}: {}: {}", config.file, nf.line, nf.name,
                                      std::string(end.status().message())));
  }
  return absl::OkStatus();
}

std::string_view arg_type_name(ArgType type) { return kArgTypeNames[static_cast<size_t>(type)]; }

std::optional<ArgType> arg_type_of(std::string_view name) {
  for (size_t i = 0; i < std::size(kArgTypeNames); ++i)
    if (kArgTypeNames[i] == name) return static_cast<ArgType>(i);
  return {};
}

}  // namespace mayfly
