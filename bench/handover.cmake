mayfly_bench(handover SOURCES handover.cc LIBS mayfly_scheduler)
