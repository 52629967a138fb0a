#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"

namespace sheaf::cli {

// Answers POST /v1/plan. A plan may take a second, so it is made on a thread of its own, one at a
// time. The question is a JSON object: what `sheaf.yaml` holds (`models` left out: all that are
// served), and beside it what the flags of `sheaf plan` say: gpu, count, cores, memory_bytes,
// dtype, gpu_memory_utilization. A model's source is one that is served, or a hub name whose files
// are here: whoever may ask is not shown this machine's folders.
class PlanService {
 public:
  // `folders`: of the models that are served, by name.
  explicit PlanService(std::map<std::string, std::string> folders);
  ~PlanService();  // waits for the plan that is being made
  PlanService(const PlanService&) = delete;
  PlanService& operator=(const PlanService&) = delete;

  // From any thread. `done` is called once, from the service's own thread, or from this one if
  // another plan is being made (overloaded).
  using Done = std::function<void(Result<std::string>)>;
  void ask(std::string question, Done done);

 private:
  struct Job {
    std::string question;
    Done done;
  };
  void run();
  Result<std::string> answer(const std::string& question) const;

  const std::map<std::string, std::string> folders_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;  // waiting to be begun
  bool busy_ = false;       // from ask() until the answer is there
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sheaf::cli
