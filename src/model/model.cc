#include "model/model.h"

#include "model/bert.h"

namespace sheaf::model {

std::unique_ptr<Model> make_model(const ModelSpec& spec, WeightSource& weights) {
  switch (spec.architecture) {
    case Architecture::bert:
    case Architecture::distilbert:
    case Architecture::mpnet:
      return std::make_unique<Bert>(spec, weights);
  }
  return nullptr;
}

}  // namespace sheaf::model
