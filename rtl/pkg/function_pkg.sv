// SPDX-License-Identifier: Apache-2.0
// Coefficient tables of the vector engine's functions, made by
// `python -m triptych.golden.quartdepth.arithmetic.functions --write`
// from golden/quartdepth/arithmetic/function_tables.py: do not edit.

package function_pkg;

  localparam int unsigned Exp2nBase = 32;
  localparam int unsigned RsqrtBase = 32;
  localparam int unsigned GeluFlat = 8192;

  localparam int unsigned LaneTBits = 8;
  localparam int unsigned LaneHShift = 8;
  localparam int unsigned LaneVShift = 11;
  localparam int unsigned LaneSegments = 48;
  localparam int unsigned LaneC0W = 28;
  localparam logic signed [LaneC0W-1:0] LaneC0[LaneSegments] = '{
    28'sd21, 28'sd236176, 28'sd420833, 28'sd556638,
    28'sd647071, 28'sd697265, 28'sd712958, 28'sd700231,
    28'sd665480, 28'sd614814, 28'sd553976, 28'sd487800,
    28'sd420254, 28'sd354955, 28'sd294090, 28'sd238974,
    28'sd190889, 28'sd149675, 28'sd115319, 28'sd87388,
    28'sd65113, 28'sd47681, 28'sd34353, 28'sd24419,
    28'sd17009, 28'sd11714, 28'sd7811, 28'sd5192,
    28'sd3448, 28'sd2198, 28'sd1373, 28'sd827,
    28'sd67108895, 28'sd64263529, 28'sd61538978, 28'sd58929933,
    28'sd56431458, 28'sd54039024, 28'sd51748019, 28'sd49553936,
    28'sd47453180, 28'sd45441171, 28'sd43514590, 28'sd41669827,
    28'sd39903071, 28'sd38211355, 28'sd36591386, 28'sd35040038
  };
  localparam int unsigned LaneC1W = 15;
  localparam logic signed [LaneC1W-1:0] LaneC1[LaneSegments] = '{
    15'sd1024, 15'sd820, 15'sd622, 15'sd437,
    15'sd269, 15'sd123, -15'sd1, -15'sd99,
    -15'sd173, -15'sd223, -15'sd253, -15'sd265,
    -15'sd262, -15'sd248, -15'sd228, -15'sd202,
    -15'sd175, -15'sd147, -15'sd121, -15'sd97,
    -15'sd77, -15'sd59, -15'sd45, -15'sd34,
    -15'sd24, -15'sd18, -15'sd12, -15'sd8,
    -15'sd6, -15'sd4, -15'sd2, -15'sd1,
    -15'sd11355, -15'sd10873, -15'sd10412, -15'sd9970,
    -15'sd9547, -15'sd9143, -15'sd8756, -15'sd8384,
    -15'sd8029, -15'sd7688, -15'sd7362, -15'sd7050,
    -15'sd6751, -15'sd6465, -15'sd6191, -15'sd5929
  };
  localparam int unsigned LaneC2W = 9;
  localparam logic signed [LaneC2W-1:0] LaneC2[LaneSegments] = '{
    -9'sd102, -9'sd99, -9'sd92, -9'sd84,
    -9'sd73, -9'sd62, -9'sd49, -9'sd37,
    -9'sd25, -9'sd15, -9'sd6, 9'sd1,
    9'sd7, 9'sd10, 9'sd13, 9'sd14,
    9'sd14, 9'sd13, 9'sd12, 9'sd10,
    9'sd9, 9'sd7, 9'sd6, 9'sd5,
    9'sd3, 9'sd3, 9'sd2, 9'sd1,
    9'sd1, 9'sd1, 9'sd0, 9'sd0,
    9'sd241, 9'sd231, 9'sd221, 9'sd211,
    9'sd202, 9'sd194, 9'sd186, 9'sd178,
    9'sd170, 9'sd163, 9'sd156, 9'sd149,
    9'sd143, 9'sd137, 9'sd131, 9'sd126
  };

  localparam int unsigned RowTBits = 13;
  localparam int unsigned RowHShift = 13;
  localparam int unsigned RowVShift = 16;
  localparam int unsigned RowSegments = 64;
  localparam int unsigned RowC0W = 32;
  localparam logic signed [RowC0W-1:0] RowC0[RowSegments] = '{
    32'sd2147475089, 32'sd2082402062, 32'sd2021150436, 32'sd1963406839,
    32'sd1908866715, 32'sd1857278523, 32'sd1808402501, 32'sd1762033144,
    32'sd1717984563, 32'sd1676079134, 32'sd1636177010, 32'sd1598120187,
    32'sd1561799424, 32'sd1527094011, 32'sd1493899602, 32'sd1462111920,
    32'sd1431650052, 32'sd1402437280, 32'sd1374383230, 32'sd1347438141,
    32'sd1321528884, 32'sd1296592293, 32'sd1272578184, 32'sd1249439344,
    32'sd1227132304, 32'sd1205600489, 32'sd1184814454, 32'sd1164738498,
    32'sd1145323787, 32'sd1126547459, 32'sd1108380508, 32'sd1090780549,
    32'sd2147469788, 32'sd2083350207, 32'sd2024653972, 32'sd1970656613,
    32'sd1920761568, 32'sd1874469753, 32'sd1831371970, 32'sd1791119785,
    32'sd1753407646, 32'sd1717981601, 32'sd1684622417, 32'sd1653129773,
    32'sd1623339594, 32'sd1595104057, 32'sd1568298398, 32'sd1542796572,
    32'sd1518489389, 32'sd1473150511, 32'sd1431646685, 32'sd1393462947,
    32'sd1358181960, 32'sd1325447736, 32'sd1294975280, 32'sd1266514232,
    32'sd1239843223, 32'sd1214794022, 32'sd1191206914, 32'sd1168938900,
    32'sd1147876456, 32'sd1127911202, 32'sd1108952445, 32'sd1090919642
  };
  localparam int unsigned RowC1W = 14;
  localparam logic signed [RowC1W-1:0] RowC1[RowSegments] = '{
    -14'sd8187, -14'sd7699, -14'sd7252, -14'sd6845,
    -14'sd6470, -14'sd6125, -14'sd5807, -14'sd5513,
    -14'sd5241, -14'sd4988, -14'sd4754, -14'sd4535,
    -14'sd4331, -14'sd4141, -14'sd3963, -14'sd3796,
    -14'sd3640, -14'sd3493, -14'sd3354, -14'sd3224,
    -14'sd3102, -14'sd2986, -14'sd2876, -14'sd2772,
    -14'sd2675, -14'sd2581, -14'sd2493, -14'sd2410,
    -14'sd2330, -14'sd2254, -14'sd2182, -14'sd2113,
    -14'sd8181, -14'sd7470, -14'sd6857, -14'sd6324,
    -14'sd5857, -14'sd5444, -14'sd5077, -14'sd4750,
    -14'sd4456, -14'sd4192, -14'sd3953, -14'sd3735,
    -14'sd3537, -14'sd3355, -14'sd3190, -14'sd3037,
    -14'sd5785, -14'sd5282, -14'sd4849, -14'sd4472,
    -14'sd4141, -14'sd3849, -14'sd3590, -14'sd3359,
    -14'sd3151, -14'sd2964, -14'sd2795, -14'sd2641,
    -14'sd2501, -14'sd2373, -14'sd2255, -14'sd2147
  };
  localparam int unsigned RowC2W = 10;
  localparam logic signed [RowC2W-1:0] RowC2[RowSegments] = '{
    10'sd244, 10'sd223, 10'sd204, 10'sd188,
    10'sd173, 10'sd159, 10'sd147, 10'sd136,
    10'sd126, 10'sd117, 10'sd109, 10'sd102,
    10'sd95, 10'sd89, 10'sd83, 10'sd78,
    10'sd74, 10'sd69, 10'sd65, 10'sd61,
    10'sd58, 10'sd55, 10'sd52, 10'sd49,
    10'sd47, 10'sd44, 10'sd42, 10'sd40,
    10'sd38, 10'sd36, 10'sd34, 10'sd33,
    10'sd356, 10'sd307, 10'sd267, 10'sd234,
    10'sd207, 10'sd184, 10'sd164, 10'sd147,
    10'sd132, 10'sd120, 10'sd109, 10'sd99,
    10'sd91, 10'sd83, 10'sd77, 10'sd71,
    10'sd252, 10'sd217, 10'sd189, 10'sd166,
    10'sd146, 10'sd130, 10'sd116, 10'sd104,
    10'sd94, 10'sd85, 10'sd77, 10'sd70,
    10'sd64, 10'sd59, 10'sd54, 10'sd50
  };

endpackage
