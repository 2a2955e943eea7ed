// What `benchmarks/hpmpc.py` measures of HPMPC: five models of one network in turn on the same 64 images, encrypted.
//
// It stands in for programs/NN.hpp in HPMPC's tree and calls PIGEON's layers; no line of it is theirs. Network and
// number of models are fixed here when HPMPC is compiled. FUNCTION_IDENTIFIER picks the network by its last two
// digits: 90 is the small CNN with average pooling, 91 LeNet 20/50/500 with max pooling. By its hundreds HPMPC picks
// the adder.

#pragma once

#include <cstdlib>
#include <iostream>
#include <string>

#include "functions/Relu.hpp"
#include "functions/max_min.hpp"
#include "functions/GEMM.hpp"
#include "functions/prob_div.hpp"
#if TRUNC_APPROACH > 1
#include "functions/exact_truncation.hpp"
#endif
#include "headers/simple_nn.h"

#if MODELOWNER == -1 || DATAOWNER == -1
#error "MODELOWNER and DATAOWNER: got -1, want a party each: invented inputs measure nothing"
#endif
#if BASETYPE != 0 || JIT_VEC != 1
#error "BASETYPE and JIT_VEC: want 0 and 1, as several images share a register"
#endif

#define FUNCTION evaluate_models
#define RESULTTYPE DATATYPE

namespace wardround
{
constexpr int MODELS = 5;
constexpr int IMAGES = 64;
constexpr int CHANNELS = 1;
constexpr int SIDE = 28;
constexpr int IN_A_REGISTER = BASE_DIV;
static_assert(IMAGES % IN_A_REGISTER == 0, "want no image left over");

template <typename Number>
class Network : public simple_nn::SimpleNN<Number>
{
  public:
    Network()
    {
#if FUNCTION_IDENTIFIER % 100 == 90
        convolve(CHANNELS, 8);
        this->add(new simple_nn::AvgPool2d<Number>(2, 2));
        this->add(new simple_nn::ReLU<Number>());
        convolve(8, 16);
        this->add(new simple_nn::AvgPool2d<Number>(2, 2));
        this->add(new simple_nn::ReLU<Number>());
        this->add(new simple_nn::Flatten<Number>());
        this->add(new simple_nn::Linear<Number>(16 * 4 * 4, 2));
#elif FUNCTION_IDENTIFIER % 100 == 91
        convolve(CHANNELS, 20);
        this->add(new simple_nn::MaxPool2d<Number>(2, 2));
        this->add(new simple_nn::ReLU<Number>());
        convolve(20, 50);
        this->add(new simple_nn::MaxPool2d<Number>(2, 2));
        this->add(new simple_nn::ReLU<Number>());
        this->add(new simple_nn::Flatten<Number>());
        this->add(new simple_nn::Linear<Number>(50 * 4 * 4, 500));
        this->add(new simple_nn::ReLU<Number>());
        this->add(new simple_nn::Linear<Number>(500, 2));
#else
#error "FUNCTION_IDENTIFIER: want 90, 190 or 290 for the small CNN, 91, 191 or 291 for LeNet"
#endif
        this->add(new simple_nn::Softmax<Number>());  // PIGEON's argmax: nobody sees the logits
    }

  private:
    void convolve(int from, int to) { this->add(new simple_nn::Conv2d<Number>(from, to, 5, 1, 0)); }
};

inline std::string path(const char* folder, const char* file)
{
    for (const char* name : {folder, file})
        if (std::getenv(name) == nullptr)
        {
            std::cout << name << ": got nothing, want it in the environment" << std::endl;
            std::exit(1);
        }
    return std::string(std::getenv(folder)) + "/" + std::getenv(file);
}

inline simple_nn::MatXf images()
{
#if PSELF == DATAOWNER
    return simple_nn::read_custom_images(path("DATA_DIR", "SAMPLES_FILE"), IMAGES, CHANNELS, SIDE, SIDE);
#else
    return simple_nn::read_dummy_images(IMAGES, CHANNELS, SIDE, SIDE);  // only their number counts
#endif
}
}  // namespace wardround

template <typename Share>
void evaluate_models(DATATYPE*)
{
    using namespace wardround;
    const simple_nn::MatXf samples = images();
    const std::string labels = path("DATA_DIR", "LABELS_FILE");
    path("MODEL_DIR", "MODEL_FILE");

    for (int number = 0; number < MODELS; number++)
    {
        const std::string suffix = std::to_string(number);
        simple_nn::MatXf inputs = samples;  // the loader keeps what it is given
        simple_nn::VecXi answers = simple_nn::read_custom_labels(labels + suffix, IMAGES);
        simple_nn::DataLoader<float> loader;
        loader.load(inputs, answers, IMAGES, CHANNELS, SIDE, SIDE, false);

        Network<Additive_Share<DATATYPE, Share>> network;
        network.compile({IMAGES / IN_A_REGISTER, CHANNELS, SIDE, SIDE});
        network.template load<MODELOWNER>(std::getenv("MODEL_DIR"), std::getenv("MODEL_FILE") + suffix);
        network.evaluate(loader);
    }
}
