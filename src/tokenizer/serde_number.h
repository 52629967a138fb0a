#pragma once

namespace sheaf::tokenizer {

// The number that serde_json, by which Hugging Face reads tokenizer.json, makes of the shortest
// decimal form of `value`. It takes the digits for a whole number and multiplies or divides by a
// power of ten, so about one in eight numbers of 17 digits comes out one unit in the last place
// off; where two ways to cut a text are equally good, that decides. Measured with tokenizers
// 0.23.3.
double as_serde_reads_it(double value);

}  // namespace sheaf::tokenizer
