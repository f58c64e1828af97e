        for (int k = 0; k < ${NAME}_MAPS; k++)
            Serial.printf("%d %.1f %.1f %.2f\n", k, points[k].x, points[k].y, points[k].score);
